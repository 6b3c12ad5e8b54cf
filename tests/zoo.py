"""Small models of every layer that passes know, with weights that are nowhere zero."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import layers


def randomize(model: keras.Model, seed: int = 0) -> keras.Model:
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        value = rng.normal(0, 0.4, variable.shape)
        if variable.path.endswith(("variance", "gamma")):
            value = 0.5 + np.abs(value)
        variable.assign(value)
    return model


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def inputs(model: keras.Model, n: int = 3) -> dict[str, np.ndarray]:
    return {t.name: draw(i, n, *t.shape[1:]) for i, t in enumerate(model.inputs)}


def run(model: keras.Model, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in model(values, training=False).items()}


def _model(add: Callable[[keras.KerasTensor], keras.KerasTensor], shape=(7, 5, 3)) -> keras.Model:
    z = keras.Input(shape, name="z")
    return randomize(keras.Model({"z": z}, {"x_logits": add(z)}, name="decoder"))


def _normalized(h):
    h = layers.Conv2D(4, 3, padding="same", use_bias=False)(h)
    h = layers.ReLU()(layers.BatchNormalization()(h))
    h = layers.DepthwiseConv2D(3, depth_multiplier=2)(h)
    h = layers.BatchNormalization(scale=False)(h)
    h = layers.Conv2DTranspose(5, 4, 2, "same", activation="relu")(h)
    h = layers.BatchNormalization(center=False)(h)  # behind a ReLU: no kernel can take it
    return layers.Conv2D(2, 3)(layers.BatchNormalization()(h))


def _separable(h):
    h = layers.SeparableConv2D(6, 3, 2, "same", depth_multiplier=2, activation="silu")(h)
    return layers.SeparableConv2D(4, 2, use_bias=False, activation="relu")(h)


def _activations(h):
    for activation in ("relu", "elu", "silu", "gelu", "sigmoid", "tanh"):
        h = layers.Conv2D(4, 3, dilation_rate=2, padding="same", activation=activation)(h)
    h = layers.LeakyReLU(0.1)(layers.Conv2D(3, 1)(h))
    return layers.ELU()(layers.ReLU(6.0)(h))


def _pooling(h):
    h = layers.MaxPooling2D(2, padding="same")(layers.ZeroPadding2D(((1, 0), (2, 1)))(h))
    h = layers.AveragePooling2D((2, 1), padding="same")(layers.Conv2D(6, 3, (1, 2), "same")(h))
    h = layers.Dense(5, activation="relu")(layers.GlobalAveragePooling2D()(h))
    return layers.Dense(2)(h)


def _branches(h):
    left = layers.Conv2D(4, 3, padding="same", activation="relu")(h)
    right = layers.Conv2D(4, 1)(h)
    h = layers.Concatenate()([layers.Add()([left, right]), layers.Multiply()([left, right])])
    return layers.Cropping2D(((1, 2), (0, 1)))(h)


def _upsampling(h):
    h = layers.UpSampling2D(2)(h)
    h = layers.Conv2D(6, 3, padding="same", activation="gelu")(h)
    h = layers.UpSampling2D((3, 1), interpolation="bilinear")(h)
    h = layers.Conv2D(12, 3, padding="same", activation="leaky_relu")(h)
    height, width = h.shape[1:3]
    h = layers.Reshape((height, width, 2, 2, 3))(h)  # pixel shuffle
    h = layers.Reshape((2 * height, 2 * width, 3))(layers.Permute((1, 3, 2, 4, 5))(h))
    return layers.Conv2DTranspose(1, 3, padding="same")(h)


def _nested(h):
    inner = keras.Sequential([layers.Conv2D(3, 3, padding="same", activation="relu")])
    h = layers.GaussianNoise(0.3)(layers.Dropout(0.5)(inner(h)))
    return inner(h)  # the same layers again


def _dense(h):
    h = layers.Dense(4 * 6 * 3, activation="relu")(layers.Flatten()(h))
    h = layers.Dropout(0.2)(layers.Reshape((4, 6, 3))(h))
    h = layers.Conv2DTranspose(5, 3, 2, "same", activation="relu")(h)
    return layers.Dense(6)(layers.Flatten()(layers.Conv2DTranspose(4, 3, 1, "same")(h)))


MODELS = {
    "normalized": _normalized,
    "separable": _separable,
    "activations": _activations,
    "pooling": _pooling,
    "branches": _branches,
    "upsampling": _upsampling,
    "nested": _nested,
    "dense": _dense,
}


def zoo(name: str) -> keras.Model:
    return _model(MODELS[name])
