"""LeNet-5 in Keras on TensorFlow, trained with `fit` as its users do."""

import os

os.environ['KERAS_BACKEND'] = 'tensorflow'
os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'

import keras
import numpy as np
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


class Keras:
    networks = 1
    # True compiles the step with XLA; 'auto', Keras's default, leaves it to the backend.
    jit_compile = 'auto'

    def __init__(self, images):
        self.train_images, self.validation = images.train, images.validation
        self.start(0)

    def start(self, seed):
        keras.utils.set_random_seed(seed)
        layers = keras.layers
        self.model = keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                layers.Conv2D(6, 5, padding='same', activation='tanh'),
                layers.AveragePooling2D(2),
                layers.Conv2D(16, 5, activation='tanh'),
                layers.AveragePooling2D(2),
                layers.Conv2D(120, 5, activation='tanh'),
                layers.Flatten(),
                layers.Dense(84, activation='tanh'),
                layers.Dense(1),
            ]
        )
        self.model.compile(
            keras.optimizers.Adam(1e-3),
            keras.losses.BinaryCrossentropy(from_logits=True),
            jit_compile=self.jit_compile,
        )

    def train(self, batches, targets):
        order = batches[0].reshape(-1)
        self.model.fit(
            self.train_images[order], targets[0][order], batch_size=batches.shape[2], shuffle=False, verbose=0
        )

    def predict(self):
        logits = self.model.predict(self.validation, batch_size=256, verbose=0)[:, 0]
        return (1 / (1 + np.exp(-logits)))[None]

    @staticmethod
    def versions():
        return {'keras': keras.__version__, 'tensorflow': tf.__version__}


class KerasXla(Keras):
    jit_compile = True
