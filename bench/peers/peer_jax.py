"""LeNet-5 in JAX: one compiled step, many steps in one lax.scan, and several networks at once with vmap."""

from functools import partial

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax import lax

LEARNING_RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-7
SHAPES = [(5, 5, 3, 6), (5, 5, 6, 16), (5, 5, 16, 120), (480, 84), (84, 1)]


def initial(key):
    """Glorot-uniform kernels, zero biases."""
    parameters = []
    for shape in SHAPES:
        key, own = jax.random.split(key)
        *window, inputs, outputs = shape
        limit = np.sqrt(6 / (np.prod(window, dtype=int) * (inputs + outputs)))
        parameters.append((jax.random.uniform(own, shape, minval=-limit, maxval=limit), jnp.zeros(shape[-1])))
    return parameters


def convolution(x, kernel, padding):
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=('NHWC', 'HWIO', 'NHWC'))


def patches_convolution(x, kernel, padding):
    """The same as slices and one matrix product: under vmap, a product of many matrices instead of a convolution in
    groups, which XLA has no fast form of on a CPU."""
    if padding == 'SAME':
        x = jnp.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    size, _, inputs, outputs = kernel.shape
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    taps = [x[:, dy : dy + height, dx : dx + width] for dy in range(size) for dx in range(size)]
    columns = jnp.concatenate(taps, axis=-1).reshape(-1, size * size * inputs)
    return (columns @ kernel.reshape(-1, outputs)).reshape(-1, height, width, outputs)


def pool(x):
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def logits_of(parameters, x, conv):
    (k1, b1), (k2, b2), (k3, b3), (k4, b4), (k5, b5) = parameters
    x = pool(jnp.tanh(conv(x, k1, 'SAME') + b1))
    x = pool(jnp.tanh(conv(x, k2, 'VALID') + b2))
    x = jnp.tanh(conv(x, k3, 'VALID') + b3)
    x = jnp.tanh(x.reshape(len(x), -1) @ k4 + b4)
    return (x @ k5 + b5)[:, 0]


def loss_of(parameters, x, targets, conv):
    z = logits_of(parameters, x, conv)
    return jnp.mean(jnp.maximum(z, 0) - z * targets + jnp.log1p(jnp.exp(-jnp.abs(z))))


def train_step(state, x, targets, conv):
    parameters, m, v, step = state
    gradients = jax.grad(loss_of)(parameters, x, targets, conv)
    step = step + 1
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, gradients)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, gradients)
    size = LEARNING_RATE * jnp.sqrt(1 - BETA2**step) / (1 - BETA1**step)
    parameters = jax.tree.map(lambda p, m, v: p - size * m / (jnp.sqrt(v) + EPSILON), parameters, m, v)
    return parameters, m, v, step


class Jax:
    """One network, one jitted call a step; the state's buffers are used again."""

    networks = 1
    conv = staticmethod(convolution)

    def __init__(self, images):
        self.train_images, self.validation = jnp.asarray(images.train), jnp.asarray(images.validation)
        conv = self.conv

        def step(state, all_images, all_targets, batch):
            return train_step(state, all_images[batch], all_targets[batch], conv)

        def steps(state, all_images, all_targets, batches):
            return lax.scan(lambda s, batch: (step(s, all_images, all_targets, batch), None), state, batches)[0]

        def predict(parameters, all_images):
            return jax.nn.sigmoid(logits_of(parameters, all_images, conv))

        self.compile(step, steps, predict)
        self.start(0)

    def compile(self, step, steps, predict):
        self.step = jax.jit(step, donate_argnums=0)
        self.forward = jax.jit(predict)

    def start(self, seed):
        parameters = initial(jax.random.key(seed))
        zeros = partial(jax.tree.map, jnp.zeros_like)
        self.state = (parameters, zeros(parameters), zeros(parameters), jnp.float32(0))

    def train(self, batches, targets):
        targets = jnp.asarray(targets[0])
        for batch in batches[0]:
            self.state = self.step(self.state, self.train_images, targets, batch)
        jax.block_until_ready(self.state)

    def predict(self):
        parts = [self.forward(self.state[0], part) for part in self.blocks()]
        return np.concatenate(parts)[None]

    def blocks(self):
        return [self.validation[i : i + 256] for i in range(0, len(self.validation), 256)]

    @staticmethod
    def versions():
        return {'jax': jax.__version__, 'jaxlib': jaxlib.__version__}


class JaxScan(Jax):
    """One network, all steps of a call in one compiled loop."""

    def compile(self, step, steps, predict):
        self.steps = jax.jit(steps, donate_argnums=0)
        self.forward = jax.jit(predict)

    def train(self, batches, targets):
        self.state = self.steps(self.state, self.train_images, jnp.asarray(targets[0]), batches[0])
        jax.block_until_ready(self.state)


class JaxPatches(JaxScan):
    conv = staticmethod(patches_convolution)


class JaxVmap(Jax):
    """Several networks in one pass, each on a batch of its own, all steps in one compiled loop."""

    networks = 8

    def compile(self, step, steps, predict):
        self.steps = jax.jit(jax.vmap(steps, in_axes=(0, None, 0, 0)), donate_argnums=0)
        self.forward = jax.jit(jax.vmap(predict, in_axes=(0, None)))

    def start(self, seed):
        parameters = jax.vmap(initial)(jax.random.split(jax.random.key(seed), self.networks))
        zeros = partial(jax.tree.map, jnp.zeros_like)
        self.state = (parameters, zeros(parameters), zeros(parameters), jnp.zeros(self.networks))

    def train(self, batches, targets):
        self.state = self.steps(self.state, self.train_images, jnp.asarray(targets), batches)
        jax.block_until_ready(self.state)

    def predict(self):
        return np.concatenate([self.forward(self.state[0], part) for part in self.blocks()], axis=1)


class JaxVmapPatches(JaxVmap):
    conv = staticmethod(patches_convolution)
