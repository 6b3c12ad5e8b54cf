"""The two networks in eager PyTorch, channels_last, with a trained run's weights.

PyTorch pads a strided transposed convolution at the other end than TensorFlow does. Mirrored, the
one is the other: so the decoder computes the mirror image, and turns it round at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch.nn.functional import conv2d, conv_transpose2d, linear, relu

from cvae_edge.config import ModelConfig

Network = Callable[[torch.Tensor], torch.Tensor]
Parameters = tuple[torch.Tensor, torch.Tensor]  # kernel, bias


def make_encoder(weights: Mapping[str, np.ndarray], config: ModelConfig) -> Network:
    """x (n, h, w, c) to mean and logvar side by side, (n, 2 * latent_dim)."""
    first, second = (_convolution(weights, f"encoder/conv_{i}") for i in (1, 2))
    posterior = _dense(weights, "encoder/posterior")

    def encode(x: torch.Tensor) -> torch.Tensor:
        h = x.permute(0, 3, 1, 2)  # in memory n, h, w, c still: channels_last
        h = relu(conv2d(h, *first, stride=2))
        h = relu(conv2d(h, *second, stride=2))
        return linear(h.permute(0, 2, 3, 1).flatten(1), *posterior)

    return encode


def make_decoder(weights: Mapping[str, np.ndarray], config: ModelConfig) -> Network:
    """z (n, latent_dim) to x_logits (n, h, w, c)."""
    height, width = config.image_shape[0] // 4, config.image_shape[1] // 4
    channels = len(weights["decoder/grid/bias"]) // (height * width)
    mirror = np.arange(height * width * channels).reshape(height, width, channels)[::-1, ::-1]
    kernel, bias = _dense(weights, "decoder/grid")
    order = torch.from_numpy(mirror.ravel().copy())
    grid = (kernel[order].contiguous(), bias[order])
    names = ("conv_1", "conv_2", "x_logits")
    first, second, last = (_convolution(weights, f"decoder/{n}", mirrored=True) for n in names)

    def decode(z: torch.Tensor) -> torch.Tensor:
        h = relu(linear(z, *grid)).view(-1, height, width, channels).permute(0, 3, 1, 2)
        h = relu(conv_transpose2d(h, *first, stride=2, padding=1, output_padding=1))
        h = relu(conv_transpose2d(h, *second, stride=2, padding=1, output_padding=1))
        return conv_transpose2d(h, *last, padding=1).flip(2, 3).permute(0, 2, 3, 1)

    return decode


def _convolution(
    weights: Mapping[str, np.ndarray], name: str, mirrored: bool = False
) -> Parameters:
    kernel = torch.from_numpy(weights[f"{name}/kernel"]).permute(3, 2, 0, 1)
    if mirrored:
        kernel = kernel.flip(2, 3)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    return kernel, torch.from_numpy(weights[f"{name}/bias"])


def _dense(weights: Mapping[str, np.ndarray], name: str) -> Parameters:
    kernel = torch.from_numpy(weights[f"{name}/kernel"])
    return kernel.T.contiguous(), torch.from_numpy(weights[f"{name}/bias"])
