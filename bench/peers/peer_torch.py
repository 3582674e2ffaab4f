"""LeNet-5 in PyTorch: the plain training loop, and several networks at once with torch.func.vmap."""

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)
torch.set_num_interop_threads(1)
torch.set_flush_denormal(True)

LEARNING_RATE, BETAS, EPSILON = 1e-3, (0.9, 0.999), 1e-7


def lenet5():
    """The logit, not the probability. Initial values as Keras has them."""
    model = nn.Sequential(
        nn.Conv2d(3, 6, 5, padding='same'),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(480, 84),
        nn.Tanh(),
        nn.Linear(84, 1),
    )
    for layer in model:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    assert sum(p.numel() for p in model.parameters()) == 91481
    return model


def loss_of(logits, targets):
    return nn.functional.binary_cross_entropy_with_logits(logits[..., 0], targets)


def adam(parameters):
    # The fused form is the fastest one on a CPU.
    return torch.optim.Adam(parameters, LEARNING_RATE, BETAS, EPSILON, fused=True)


class Torch:
    """One network. `channels_last` keeps the images in NHWC order in memory, which oneDNN may prefer."""

    networks = 1

    def __init__(self, images, channels_last=False):
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.layout = layout

        def tensor(pixels):
            return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).contiguous(memory_format=layout)

        self.train_images, self.validation = tensor(images.train), tensor(images.validation)
        self.start(0)

    def start(self, seed):
        torch.manual_seed(seed)
        self.model = lenet5().to(memory_format=self.layout)
        self.optimizer = adam(self.model.parameters())

    def train(self, batches, targets):
        """batches [networks, steps, n] indices of training images; targets [training images] float32."""
        targets = torch.from_numpy(targets[0])
        for batch in torch.from_numpy(batches[0]):
            self.optimizer.zero_grad(set_to_none=True)
            loss_of(self.model(self.train_images[batch]), targets[batch]).backward()
            self.optimizer.step()

    @torch.inference_mode()
    def predict(self):
        """Probabilities on the validation split, [networks, n]."""
        parts = [torch.sigmoid(self.model(part)[:, 0]) for part in self.validation.split(256)]
        return torch.cat(parts).numpy()[None]

    @staticmethod
    def versions():
        return {'torch': torch.__version__}


class TorchVmap(Torch):
    """Several networks in one pass, each on a batch of its own: torch.func.functional_call under vmap."""

    networks = 8

    def start(self, seed):
        torch.manual_seed(seed)
        models = [lenet5() for _ in range(self.networks)]
        parameters, _ = torch.func.stack_module_state(models)
        self.parameters = {name: value.detach() for name, value in parameters.items()}
        self.optimizer = adam(list(self.parameters.values()))
        skeleton = lenet5().to('meta')

        def loss(parameters, images, targets):
            return loss_of(torch.func.functional_call(skeleton, (parameters,), (images,)), targets)

        self.gradients = torch.func.vmap(torch.func.grad(loss))
        self.forward = torch.func.vmap(
            lambda parameters, images: torch.func.functional_call(skeleton, (parameters,), (images,)), in_dims=(0, None)
        )

    def train(self, batches, targets):
        targets = torch.from_numpy(targets)
        networks = torch.arange(self.networks)[:, None]
        for batch in torch.from_numpy(batches).transpose(0, 1):
            gradients = self.gradients(self.parameters, self.train_images[batch], targets[networks, batch])
            for name, value in self.parameters.items():
                value.grad = gradients[name]
            self.optimizer.step()

    @torch.inference_mode()
    def predict(self):
        parts = [torch.sigmoid(self.forward(self.parameters, part)[..., 0]) for part in self.validation.split(256)]
        return torch.cat(parts, dim=1).numpy()
