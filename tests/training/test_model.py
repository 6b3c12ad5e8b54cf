import numpy as np
import pytest

from cvae_edge.config import ModelConfig
from cvae_edge.errors import RunError
from cvae_edge.training.model import VAE


def test_seed_preset_has_the_seeds_parameters():
    vae = VAE(ModelConfig())
    assert (vae.encoder.count_params(), vae.decoder.count_params()) == (249_316, 117_217)


@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 12, 3), (32, 32, 3)])
def test_networks_map_any_allowed_image_to_its_own_shape(shape):
    vae = VAE(ModelConfig(image_shape=shape, latent_dim=7))
    posterior = vae.encoder(np.zeros((2, *shape), np.float32))
    assert posterior["mean"].shape == posterior["logvar"].shape == (2, 7)
    assert vae.decoder(posterior["mean"]).shape == (2, *shape)


def test_initial_weights_are_a_function_of_the_seed(tiny_model):
    first, again, other = (VAE(tiny_model, seed).weights() for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[n], other[n]) for n in first if n.endswith("kernel"))


def test_weights_go_out_and_in(tiny_model):
    vae, other = VAE(tiny_model, 1), VAE(tiny_model, 2)
    other.load_weights(vae.weights())
    z = np.ones((1, tiny_model.latent_dim), np.float32)
    np.testing.assert_array_equal(vae.decoder(z), other.decoder(z))


def test_weights_of_another_model_are_refused(tiny_model):
    with pytest.raises(RunError, match="another model: .*decoder/grid"):
        VAE(tiny_model).load_weights(VAE(ModelConfig()).weights())
