"""A VAE trained elsewhere becomes a run like any other."""

import json
import shutil
import warnings

import keras
import numpy as np
import pytest
from conftest import SHARED, blobs
from keras import layers

from cvae_edge.architectures.presets import build_preset
from cvae_edge.config import DataConfig, ModelConfig
from cvae_edge.errors import ConfigError, DataError, DataWarning, RunError
from cvae_edge.training import import_models
from cvae_edge.training.evaluate import evaluate_run

FOREIGN = SHARED / "data" / "foreign"
needs_pairs = pytest.mark.skipif(not FOREIGN.is_dir(), reason=f"no pairs at {FOREIGN}")


class Unknown(layers.Layer):
    """A class that no process knows but the one that saved it."""

    def call(self, inputs):
        mean, logvar = inputs
        return mean + keras.ops.exp(logvar / 2)


def pair(latent_dim=3, bias=0.0):
    x, z = keras.Input((8, 8, 1)), keras.Input((latent_dim,))
    h = layers.Flatten()(layers.Conv2D(4, 3, 2, "same", activation="relu")(x))
    spread = layers.Dense(latent_dim, bias_initializer=keras.initializers.Constant(bias))
    mean, logvar = layers.Dense(latent_dim, kernel_initializer="zeros")(h), spread(h)
    image = layers.Dense(64, kernel_initializer="zeros", name="mean_image")(z)
    encoder = keras.Model(x, [mean, logvar, Unknown()([mean, logvar])])
    return encoder, keras.Model(z, layers.Reshape((8, 8, 1))(image))


def fit_mean_image(decoder, images):
    """Make the decoder give the mean image, which is as good as the check asks for."""
    mean = np.clip(images.mean(axis=0) / 255, 1e-3, 1 - 1e-3).ravel()
    layer = decoder.get_layer("mean_image")
    layer.set_weights([layer.get_weights()[0], np.log(mean / (1 - mean))])


@pytest.fixture
def good_pair():
    encoder, decoder = pair()
    fit_mean_image(decoder, blobs(400))
    for layer in encoder.layers:
        if isinstance(layer, layers.Dense):
            layer.set_weights([0 * w for w in layer.get_weights()])  # KL 0
    return encoder, decoder


@pytest.mark.filterwarnings("ignore::cvae_edge.errors.DataWarning")
def test_keras_models_become_a_finished_run(good_pair, tiny_npz, tmp_path):
    run = import_models(*good_pair, str(tiny_npz), tmp_path / "run")
    assert run.config.model == ModelConfig("imported", (8, 8, 1), 3)
    assert run.config.train.likelihood == run.likelihood().name == "gaussian"
    assert evaluate_run(run).elbo == pytest.approx(run.summary["test_elbo"])
    x = blobs(3).astype(np.float32) / 255
    wanted = good_pair[0](x)[0]
    np.testing.assert_allclose(run.vae().encoder(x)["mean"], wanted, atol=1e-6)
    assert (run.folder / "reconstructions.png").exists()


@pytest.mark.filterwarnings("ignore::cvae_edge.errors.DataWarning")
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_files_are_read_though_nobody_knows_the_sampling_layer(
    good_pair, tiny_npz, tmp_path, ending
):
    paths = [tmp_path / f"{name}{ending}" for name in ("encoder", "decoder")]
    for model, path in zip(good_pair, paths, strict=True):
        model.save(path)
    run = import_models(*paths, str(tiny_npz), tmp_path / "run")
    assert run.summary["test_images"] == 100


def test_weights_alone_need_the_preset_that_they_belong_to(tiny_npz, tmp_path):
    built = build_preset(ModelConfig("general", (8, 8, 1), 3))
    paths = [tmp_path / f"{name}.weights.h5" for name in ("encoder", "decoder")]
    built.encoder.save_weights(paths[0])
    built.decoder.save_weights(paths[1])
    with pytest.raises(ConfigError, match="holds weights alone: give the --preset"):
        import_models(*paths, str(tiny_npz), tmp_path / "run")
    with pytest.raises(ConfigError, match="must be those of the preset's encoder"):
        import_models(*paths, str(tiny_npz), tmp_path / "run", preset="general", latent_dim=4)
    with pytest.warns(DataWarning):  # it was never trained
        run = import_models(*paths, str(tiny_npz), tmp_path / "run", preset="general", latent_dim=3)
    assert np.array_equal(
        run.vae().weights()["decoder/up_1/kernel"], built.weights()["decoder/up_1/kernel"]
    )


def test_weights_of_other_layers_are_named_in_one_sentence(tiny_npz, tmp_path):
    path = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((784,)), layers.Dense(5)]).save_weights(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigError, match="objects could not be loaded$"):
            import_models(path, path, str(tiny_npz), tmp_path / "run", preset="general")
    assert not (tmp_path / "run").exists()


def test_a_wrong_spread_is_refused_or_doubted(good_pair, tiny_npz, tmp_path):
    encoder, decoder = good_pair
    spread = [layer for layer in encoder.layers if isinstance(layer, layers.Dense)][1]
    kernel, bias = spread.get_weights()
    spread.set_weights([kernel, bias + 12])
    with pytest.raises(ConfigError, match=r"then the KL is .* which no trained model has"):
        import_models(encoder, decoder, str(tiny_npz), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    spread.set_weights([kernel, bias + 3])
    with pytest.warns(DataWarning, match="read as --log-std, .* gives a KL of"):
        import_models(encoder, decoder, str(tiny_npz), tmp_path / "run", spread="std")


def test_data_that_the_model_was_not_trained_on_is_doubted(good_pair, tmp_path):
    inverted = tmp_path / "inverted.npz"
    np.savez(inverted, x_train=255 - blobs(300), x_test=255 - blobs(50))
    with pytest.warns(DataWarning, match=r"worse than the .* inverted pixels"):
        import_models(*good_pair, str(inverted), tmp_path / "run")


def damaged(path):
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damaged, "cannot be (read|loaded) as a Keras"),
        (lambda path: path.write_text("text"), "cannot be read as a Keras file"),
        (lambda path: path.unlink(), "is not there"),
        (lambda path: shutil.move(path, path.with_suffix(".bin")), "is not there"),
    ],
)
def test_files_that_are_no_models_are_one_sentence(good_pair, tiny_npz, tmp_path, change, message):
    paths = [tmp_path / f"{name}.keras" for name in ("encoder", "decoder")]
    for model, path in zip(good_pair, paths, strict=True):
        model.save(path)
    change(paths[1])
    with pytest.raises(DataError, match=message) as raised:
        import_models(*paths, str(tiny_npz), tmp_path / "run")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_an_unknown_layer_that_is_not_cut_off_is_named(tiny_npz, tmp_path):
    x = keras.Input((8, 8, 1))
    h = layers.Flatten()(x)
    mean = Unknown()([layers.Dense(3)(h), layers.Dense(3)(h)])
    keras.Model(x, [mean, layers.Dense(3)(h)]).save(tmp_path / "encoder.keras")
    pair()[1].save(tmp_path / "decoder.keras")
    with pytest.raises(ConfigError, match="of the class Unknown, which Keras does not have"):
        import_models(
            tmp_path / "encoder.keras", tmp_path / "decoder.keras", str(tiny_npz), tmp_path / "run"
        )


def test_a_lambda_layer_is_refused_by_name(tiny_npz, tmp_path):
    z = keras.Input((3,))
    h = layers.Lambda(lambda v: v * 2, name="twice")(layers.Dense(64)(z))
    keras.Model(z, layers.Reshape((8, 8, 1))(h)).save(tmp_path / "decoder.keras")
    with pytest.raises(ConfigError, match="Lambda layer twice, which would run code"):
        import_models(pair()[0], tmp_path / "decoder.keras", str(tiny_npz), tmp_path / "run")


def test_data_and_settings_that_do_not_fit_leave_nothing(good_pair, tiny_npz, tmp_path):
    config = DataConfig(str(tiny_npz), image_size=(12, 12))
    with pytest.raises(ConfigError, match=r"encoder's shape \(8, 8, 1\).*got \(12, 12, 1\)"):
        import_models(*good_pair, config, tmp_path / "run")
    with pytest.raises(ConfigError, match="spread must be one of variance, std"):
        import_models(*good_pair, str(tiny_npz), tmp_path / "run", spread="both")
    with pytest.raises(ConfigError, match="likelihood must be one of"):
        import_models(*good_pair, str(tiny_npz), tmp_path / "run", likelihood="poisson")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="exists and is no run folder"):
        import_models(*good_pair, str(tiny_npz), tmp_path / "run")


@needs_pairs
@pytest.mark.parametrize(
    ("name", "elbo"), [("keras_io", -195.9), ("tf_tutorial", -178.5), ("fastestimator", -85.15)]
)
def test_real_pairs_are_imported(tmp_path, run_cli, name, elbo):
    files = sorted((FOREIGN / name).iterdir(), reverse=True)  # encoder, decoder
    options = ("--preset", "seed") if name == "fastestimator" else ()
    result = run_cli("import", *files, "--data", "mnist", *options, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["test_elbo"] == pytest.approx(elbo, abs=0.2)


def test_import_refuses_both_spreads_and_prints_one_sentence(run_cli, tmp_path, tiny_npz):
    result = run_cli(
        "import", "a.keras", "b.keras", "--data", tiny_npz, "--log-std", "--log-variance"
    )
    assert result.code == 2
    assert "give --log-variance or --log-std, got both" in result.err
    result = run_cli("import", tmp_path / "a.keras", tmp_path / "b.keras", "--data", tiny_npz)
    assert result.code == 2
    assert result.err.startswith("cvae-edge: ")
    assert len(result.err.splitlines()) == 1
