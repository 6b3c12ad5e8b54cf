import json

import numpy as np
import pytest

from cvae_edge.architectures.presets import PRESETS, build_preset, default_preset
from cvae_edge.architectures.vae import VAE
from cvae_edge.config import ModelConfig
from cvae_edge.errors import ConfigError, RunError

TINY = ModelConfig("seed", (12, 16, 1), 3, width=0.125)


def test_seed_preset_has_the_seeds_parameters():
    vae = build_preset(ModelConfig())
    assert (vae.encoder.count_params(), vae.decoder.count_params()) == (249_316, 117_217)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("shape", [(28, 28, 1), (12, 16, 3), (32, 32, 4)])
def test_presets_map_any_allowed_image_to_its_own_shape(preset, shape):
    vae = build_preset(ModelConfig(preset, shape, 7, width=0.25))
    posterior = vae.encoder(np.zeros((2, *shape), np.float32))
    assert posterior["mean"].shape == posterior["logvar"].shape == (2, 7)
    assert vae.decoder(posterior["mean"])["x_logits"].shape == (2, *shape)
    assert (vae.image_shape, vae.latent_dim) == (shape, 7)


@pytest.mark.parametrize(
    ("shape", "halvings"),
    [((8, 8, 1), 1), ((9, 15, 2), 1), ((45, 30, 3), 3), ((64, 65, 3), 4), ((33, 500, 4), 3),
     ((512, 9, 1), 1), ((257, 300, 1), 6)],
)  # fmt: skip
def test_general_halves_until_the_shorter_side_is_4_to_7_and_gives_any_size_back(shape, halvings):
    vae = build_preset(ModelConfig("general", shape, 2, width=1 / 32))
    down = [layer for layer in vae.encoder.layers if layer.name.startswith("down")]
    assert len(down) == halvings
    assert 4 <= min(down[-1].output.shape[1:3]) <= 7
    assert vae.decoder.output["x_logits"].shape[1:] == shape


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ModelConfig("seed", (30, 28, 1)), "multiples of 4 and at least 8 .*got 30x28"),
        (ModelConfig("general", (7, 28, 1)), "8 to 512 pixels a side, got 7x28"),
        (ModelConfig("general", (28, 513, 1)), "8 to 512 pixels a side, got 28x513"),
        (ModelConfig("resnet"), "preset must be one of seed, general, got 'resnet'"),
    ],
)
def test_what_a_preset_cannot_take_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        build_preset(config)


def test_the_tutorials_shape_gets_the_tutorials_networks():
    assert default_preset((28, 28, 1)) == "seed"
    assert default_preset((28, 28, 3)) == default_preset((64, 64, 1)) == "general"


@pytest.mark.parametrize("preset", PRESETS)
def test_initial_weights_are_a_function_of_the_seed(preset):
    config = ModelConfig(preset, (12, 16, 1), 3, width=0.125)
    first, again, other = (build_preset(config, seed).weights() for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[n], other[n]) for n in first if n.endswith("kernel"))


def test_weights_go_out_and_in():
    vae, other = build_preset(TINY, 1), build_preset(TINY, 2)
    other.load_weights(vae.weights())
    z = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(vae.decoder(z)["x_logits"], other.decoder(z)["x_logits"])


def test_weights_of_another_model_are_refused():
    with pytest.raises(RunError, match="another model: .*decoder/grid"):
        build_preset(TINY).load_weights(build_preset(ModelConfig()).weights())


@pytest.mark.parametrize("preset", PRESETS)
def test_an_architecture_goes_through_json_with_its_first_weights(preset):
    vae = build_preset(ModelConfig(preset, (12, 20, 1), 3, width=0.125), 5)
    again = VAE.from_architecture(json.loads(json.dumps(vae.architecture())))
    first, second = vae.weights(), again.weights()
    assert list(first) == list(second)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_damaged_architecture_and_a_foreign_class_are_one_sentence():
    fields = build_preset(TINY).architecture()
    with pytest.raises(RunError, match="cannot be built"):
        VAE.from_architecture({"encoder": fields["encoder"]})
    damaged = json.loads(json.dumps(fields).replace('"Conv2D"', '"Nowhere"'))
    with pytest.raises(RunError, match="cannot be built: .*Nowhere"):
        VAE.from_architecture(damaged)
