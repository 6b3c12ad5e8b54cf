from __future__ import annotations

import numpy as np
import pytest

from cvae_edge.config import ModelConfig
from cvae_edge.exporters.equalization import PAIRS, equalize
from cvae_edge.training.model import VAE

CONFIG = ModelConfig((8, 12, 1), 3, (4, 5), decoder_base=3, decoder_filters=(5, 4))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_equalized_networks_compute_the_same(alpha: float) -> None:
    vae, equalized = VAE(CONFIG), VAE(CONFIG)
    rng = np.random.default_rng(0)
    weights = {n: rng.standard_normal(w.shape).astype(np.float32) for n, w in vae.weights().items()}
    vae.load_weights(weights)
    peaks = {
        layer: rng.uniform(0.1, 10, channels).astype(np.float32)
        for layer, channels in zip(
            [layer for role in ("encoder", "decoder") for layer, _ in PAIRS[role]],
            (4, 5, 3, 5, 4),
            strict=True,
        )
    }
    new = equalize(equalize(weights, "encoder", peaks, alpha), "decoder", peaks, alpha)
    equalized.load_weights(new)
    x = rng.uniform(size=(4, 8, 12, 1)).astype(np.float32)
    z = rng.standard_normal((4, 3)).astype(np.float32)
    assert not np.allclose(new["encoder/conv_1/kernel"], weights["encoder/conv_1/kernel"])
    for name, value in vae.encoder(x).items():
        np.testing.assert_allclose(equalized.encoder(x)[name], value, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(equalized.decoder(z), vae.decoder(z), rtol=1e-4, atol=1e-3)


def test_alpha_1_evens_out_the_activations() -> None:
    vae = VAE(CONFIG)
    weights = vae.weights()
    z = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    grid = np.maximum(z @ weights["decoder/grid/kernel"] + weights["decoder/grid/bias"], 0)
    peaks = {
        "decoder/grid": grid.reshape(-1, 3).max(axis=0),
        "decoder/conv_1": np.ones(5, np.float32),
        "decoder/conv_2": np.ones(4, np.float32),
    }
    new = equalize(weights, "decoder", peaks, 1.0)
    even = np.maximum(z @ new["decoder/grid/kernel"] + new["decoder/grid/bias"], 0)
    np.testing.assert_allclose(even.reshape(-1, 3).max(axis=0), even.max(), rtol=1e-4)
