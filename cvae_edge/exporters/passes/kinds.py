"""What passes know of Keras layers, by class: the one place where classes are listed."""

from __future__ import annotations

from typing import Any

from keras import layers

from cvae_edge.exporters.passes.layers import DepthToSpace, FakeQuantize, Reshape

_BY_VALUE = {
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "silu", "gelu", "sigmoid"),
    *("tanh", "softplus", "softsign", "exponential", "mish", "log_sigmoid"),
    *("hard_sigmoid", "hard_silu", "hard_tanh"),
}
LINEAR = (layers.Dense, layers.Conv2D, layers.Conv2DTranspose, layers.DepthwiseConv2D)
POOLING = (
    layers.MaxPooling2D,
    layers.AveragePooling2D,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
)
COMBINING = (layers.Add, layers.Multiply, layers.Concatenate)
MOVING = (  # they move values and change none
    *(Reshape, DepthToSpace, layers.Reshape, layers.Flatten, layers.Permute),
    *(layers.ZeroPadding2D, layers.Cropping2D, layers.UpSampling2D),
)
DROPPED = (  # they do nothing but in training
    *(layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.AlphaDropout),
    *(layers.GaussianNoise, layers.GaussianDropout, layers.ActivityRegularization, layers.Identity),
)


def is_linear(layer: Any) -> bool:
    """Whether a layer is a dense layer or a convolution that passes know."""
    return type(layer) in LINEAR and getattr(layer, "groups", 1) == 1


def activation_of(layer: Any) -> str | None:
    """Return the name of the function that an activation layer is; None for other layers."""
    if isinstance(layer, layers.Activation):
        return str(getattr(layer.activation, "__name__", "")) or None
    if isinstance(layer, layers.ReLU):
        if layer.negative_slope and layer.max_value is None and not layer.threshold:
            return "leaky_relu"
        plain = layer.max_value is None and not layer.threshold
        return "relu" if plain else "relu6"
    named = {layers.LeakyReLU: "leaky_relu", layers.ELU: "elu"}
    return named.get(type(layer))


def is_elementwise(layer: Any) -> bool:
    """Whether a layer works value by value, so that it may come before or after a move."""
    return isinstance(layer, FakeQuantize) or activation_of(layer) in _BY_VALUE


def is_moving(layer: Any) -> bool:
    """Whether a layer moves values and changes none."""
    return isinstance(layer, MOVING) and getattr(layer, "interpolation", "nearest") == "nearest"


def scales_through(layer: Any) -> bool:
    """Whether f(s * h) = s * f(h) for any s > 0 of a channel."""
    return is_moving(layer) or isinstance(layer, POOLING) or activation_of(layer) in (
        "relu", "leaky_relu", "linear",
    )  # fmt: skip


def is_known(layer: Any) -> bool:
    """Whether passes know what a layer does."""
    return (
        is_linear(layer)
        or is_elementwise(layer)
        or isinstance(layer, (*MOVING, *POOLING, *COMBINING, layers.BatchNormalization))
    )
