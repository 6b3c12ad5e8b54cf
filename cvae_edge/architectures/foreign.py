"""Pairs from elsewhere: what their outputs are, and our form of them."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, tree

from cvae_edge.architectures.vae import VAE
from cvae_edge.errors import ConfigError

_UNSUPPORTED = (
    *(layers.RNN, layers.LSTM, layers.GRU, layers.Bidirectional, layers.TimeDistributed),
    *(layers.ConvLSTM2D, layers.MultiHeadAttention, layers.Attention, layers.AdditiveAttention),
    layers.GroupQueryAttention,
)
_MEANS = ("mean", "mu", "z_mean", "z_mu", "loc")
_LOG_VARIANCES = ("logvar", "log_var", "z_log_var", "z_logvar", "log_variance")
_LOG_STDS = ("log_std", "z_log_std", "log_sigma")
_MOVES = (layers.Reshape, layers.Flatten, layers.Permute, layers.Cropping2D)  # a sigmoid commutes
_ACTIVATIONS = {  # layers and operations whose class says what they compute
    *("Sigmoid", "Tanh", "Relu", "ReLU", "Relu6", "LeakyReLU", "LeakyRelu", "ELU", "Elu", "PReLU"),
    *("Softmax", "Softplus", "Softsign", "Selu", "Silu", "Gelu", "HardSigmoid", "HardTanh", "Clip"),
    *("Exp", "Celu", "LogSigmoid", "Mish"),
}
_CLIPPED = 1e-4  # how near to 0 and 1 a linear decoder's pixels may come, so that logits are finite


def recognize(
    encoder: keras.Model,
    decoder: keras.Model,
    *,
    log_std: bool = False,
    linear_pixels: bool = False,
) -> VAE:
    """Return a pair of Keras models in our form, with their own weights.

    The encoder gives mean and log-variance, as a list or by name, with or without a sampled z
    behind them, or both in one output, mean first. The decoder gives logits, or ends in a sigmoid,
    which is taken off.

    Args:
        encoder: takes images (n, h, w, c).
        decoder: takes latents (n, latent_dim), gives images of the encoder's shape.
        log_std: the encoder's second output is the logarithm of the standard deviation; so it is
            without this where its name says so.
        linear_pixels: a decoder without a last activation gives pixels, not logits.

    Raises:
        ConfigError: they are no such pair, or have a layer that cannot be exported.
    """
    encoder, decoder = _functional(encoder, "encoder"), _functional(decoder, "decoder")
    for model in (encoder, decoder):
        _check_layers(model)
    shape, latents = encoder.inputs[0].shape[1:], decoder.inputs[0].shape[1:]
    if len(shape) != 3 or None in shape:
        raise ConfigError(f"the encoder must take images (height, width, channels), got {shape}")
    if len(latents) != 1 or None in latents:
        raise ConfigError(f"the decoder must take latents (latent_dim,), got {latents}")
    mean, logvar = _posterior(encoder, latents[0], log_std)
    x_logits = _logits(decoder, linear_pixels)
    if x_logits.shape[1:] != shape:
        raise ConfigError(
            f"the decoder must give images of the encoder's shape {shape}, got {x_logits.shape[1:]}"
        )
    return VAE(
        _renamed(encoder.inputs[0], "x", {"mean": mean, "logvar": logvar}, "encoder"),
        _renamed(decoder.inputs[0], "z", {"x_logits": x_logits}, "decoder"),
    )


def _functional(model: Any, role: str) -> keras.Model:
    if not isinstance(model, keras.Model):
        raise ConfigError(f"the {role} must be a Keras model, got {type(model).__name__}")
    try:
        sequential = isinstance(model, keras.Sequential)
        inputs, outputs = model.inputs, model.outputs if sequential else model.output
    except (AttributeError, ValueError) as error:
        raise ConfigError(
            f"the {role} must be a functional or sequential model that has been built, got "
            f"{type(model).__name__}"
        ) from error
    if len(inputs) != 1:
        raise ConfigError(f"the {role} must have one input, got {len(inputs)}")
    return keras.Model(inputs, outputs, name=role)


def _check_layers(model: keras.Model) -> None:
    # _flatten_layers opens models in models
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, layers.Lambda):
            raise ConfigError(f"layers must not run code of their own, got the Lambda {layer.name}")
        if isinstance(layer, _UNSUPPORTED):
            raise ConfigError(
                f"recurrent and attention layers cannot be exported, got {layer.name} "
                f"({type(layer).__name__}) in the {model.name}"
            )


def _posterior(encoder: keras.Model, latent_dim: int, log_std: bool) -> tuple[Any, Any]:
    """Return the tensors of mean and log-variance."""
    output = encoder.output
    if isinstance(output, dict):
        mean = next((name for name in _MEANS if name in output), None)
        spread = next((name for name in (*_LOG_VARIANCES, *_LOG_STDS) if name in output), None)
        if mean is None or spread is None:
            raise ConfigError(
                f"the encoder's outputs must have one of the names {', '.join(_MEANS)} and one of "
                f"{', '.join((*_LOG_VARIANCES, *_LOG_STDS))}, got {', '.join(output)}"
            )
        found = [output[mean], output[spread]]
        log_std = log_std or spread in _LOG_STDS
    else:
        found = tree.flatten(output)
    shapes = [tuple(t.shape[1:]) for t in found]
    if shapes == [(2 * latent_dim,)]:
        found = [found[0][:, :latent_dim], found[0][:, latent_dim:]]
    elif len(found) not in (2, 3) or set(shapes) != {(latent_dim,)}:  # a third is the sampled z
        raise ConfigError(
            f"the encoder must give mean and log-variance of the decoder's {latent_dim} latents, "
            f"apart or in one output of {2 * latent_dim}, got outputs of "
            f"{', '.join(map(str, shapes))}"
        )
    return found[0], 2.0 * found[1] if log_std else found[1]


def _logits(decoder: keras.Model, linear_pixels: bool) -> Any:
    """Return the tensor of the logits: what comes before the last sigmoid."""
    outputs = tree.flatten(decoder.output)
    if len(outputs) != 1:
        raise ConfigError(f"the decoder must have one output, got {len(outputs)}")
    activation, logits = _without_activation(decoder, outputs[0])
    if activation == "sigmoid":
        return logits
    if activation != "linear":
        raise ConfigError(
            f"the decoder must end in logits or in a sigmoid, got {activation} (one that gives "
            "pixels themselves ends in no activation, and takes --likelihood gaussian)"
        )
    if not linear_pixels:
        return logits
    pixels = keras.ops.clip(logits, _CLIPPED, 1 - _CLIPPED)
    return keras.ops.log(pixels) - keras.ops.log(1.0 - pixels)


def _without_activation(model: keras.Model, output: Any) -> tuple[str, Any]:
    """Return the name of the last activation, and the tensor before it."""
    layer, index = output._keras_history.operation, output._keras_history.node_index
    before = layer._inbound_nodes[index].input_tensors[0]
    if isinstance(layer, keras.Model):
        inner = _functional(layer, "decoder")
        name, logits = _without_activation(inner, tree.flatten(inner.output)[0])
        if name != "sigmoid":
            return name, output
        return name, keras.Model(inner.inputs, logits)(before)
    if isinstance(layer, _MOVES):
        name, logits = _without_activation(model, before)
        moved = type(layer).from_config(layer.get_config())
        return (name, moved(logits)) if name == "sigmoid" else (name, output)
    name = str(getattr(getattr(layer, "activation", None), "__name__", "linear"))
    if type(layer).__name__ in _ACTIVATIONS:
        name = type(layer).__name__.lower()
    if name != "sigmoid":
        return name, output
    if isinstance(layer, layers.Activation) or not isinstance(layer, layers.Layer):
        return name, before
    # The same weights without their activation.
    config = {**layer.get_config(), "activation": "linear"}
    bare = type(layer).from_config(config)
    logits = bare(before)
    bare.set_weights(layer.get_weights())
    return name, logits


def _renamed(tensor: Any, name: str, outputs: dict[str, Any], role: str) -> keras.Model:
    """Return the model with its input and outputs named, and what hangs beside them cut off."""
    model = keras.Model(tensor, outputs)
    renamed = keras.Input(tensor.shape[1:], name=name)
    fresh = keras.models.clone_model(model, input_tensors=renamed)
    fresh.set_weights(model.get_weights())
    return keras.Model(renamed, fresh.output, name=role)
