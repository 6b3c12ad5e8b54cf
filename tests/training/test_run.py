import dataclasses
import json

import numpy as np
import pytest

from cvae_edge.architectures.presets import build_preset
from cvae_edge.errors import RunError
from cvae_edge.likelihoods import make_likelihood
from cvae_edge.training.run import COLUMNS, Run


@pytest.fixture(scope="module")
def vae(tiny_config):
    return build_preset(tiny_config.model)


def begun(folder, config, vae):
    folder.mkdir(exist_ok=True)
    run = Run.create(folder, config, vae)
    run.begin()
    return run


def row(epoch):
    return dict.fromkeys(COLUMNS, 0.5) | {"epoch": epoch}


def test_a_run_comes_back_as_it_was_made(tiny_config, vae, tmp_path):
    begun(tmp_path / "run", tiny_config, vae)
    run = Run.open(tmp_path / "run")
    assert run.config == tiny_config
    assert run.summary is None
    assert run.history() == []
    assert run.data() == tiny_config.data
    assert run.data("elsewhere").source == "elsewhere"
    assert json.loads((run.folder / "data.json").read_text())["path"] == tiny_config.data.source


def test_create_refuses_what_is_there_and_leaves_it(tiny_config, vae, tmp_path):
    begun(tmp_path / "run", tiny_config, vae)
    with pytest.raises(RunError, match="already holds a run: continue it with --resume"):
        Run.create(tmp_path / "run", tiny_config, vae)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for taken in ("letters", "file"):
        with pytest.raises(RunError, match="exists and is no run folder"):
            Run.create(tmp_path / taken, tiny_config, vae)
    assert (tmp_path / "letters" / "a.txt").read_text() == "mine"
    assert [p.name for p in (tmp_path / "letters").iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda text: text.replace('"latent_dim": 3', '"latent_dim": 0'), "at least 1, got 0"),
        (
            lambda text: text.replace('"format_version": 2', '"format_version": 9'),
            "must have format",
        ),
        (lambda text: text.replace('"beta"', '"gamma"'), "gamma"),
        (lambda text: "[]", "must hold an object"),
    ],
)
def test_a_damaged_config_is_named(tiny_config, vae, tmp_path, damage, message):
    begun(tmp_path, tiny_config, vae)
    path = tmp_path / "config.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(RunError, match=message):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda halves: {**halves, "encoder": "mine"}, "damaged"),
        (lambda halves: {**halves, "decoder": None}, "damaged"),
        (lambda halves: dict(zip(halves, reversed(halves.values()), strict=True)), "damaged"),
        (lambda halves: json.loads(json.dumps(halves).replace('"logvar"', '"other"')), "damaged"),
        (lambda halves: {"encoder": halves["encoder"]}, "cannot be built"),
    ],
)
def test_a_damaged_architecture_is_named(tiny_config, vae, tmp_path, damage, message):
    run = begun(tmp_path, tiny_config, vae)
    path = tmp_path / "architecture.json"
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(RunError, match=message):
        run.networks()


def test_networks_of_another_size_than_the_configs_are_named(tiny_config, vae, tmp_path):
    begun(tmp_path, tiny_config, vae)
    model = dataclasses.replace(tiny_config.model, latent_dim=5)
    run = Run(tmp_path, dataclasses.replace(tiny_config, model=model))
    with pytest.raises(RunError, match="not what config.json says"):
        run.networks()


def test_history_keeps_what_the_checkpoint_has_and_goes_on(tiny_config, vae, tmp_path):
    run = begun(tmp_path, tiny_config, vae)
    run.start_history(0)
    for epoch in (1, 2, 3):
        run.append_history(row(epoch))
    run.start_history(2)
    run.append_history(row(3) | {"validation_elbo": float("nan")})
    assert [r["epoch"] for r in run.history()] == [1, 2, 3]
    assert np.isnan(run.history()[2]["validation_elbo"])


def test_a_damaged_history_is_named(tiny_config, vae, tmp_path):
    run = begun(tmp_path, tiny_config, vae)
    for content in (b"\xff\xfe", b"epoch,step\n1,2\n"):
        (tmp_path / "history.csv").write_bytes(content)
        with pytest.raises(RunError, match=r"history\.csv is damaged"):
            run.history()
    (tmp_path / "history.csv").write_bytes(b"\xff\xfe")
    for use in (lambda: run.start_history(1), lambda: run.append_history(row(1))):
        with pytest.raises(RunError, match=r"history\.csv is damaged"):
            use()


def test_weights_that_are_nan_or_cut_short_are_refused(tiny_config, vae, tmp_path):
    run = begun(tmp_path, tiny_config, vae)
    with pytest.raises(RunError, match="no weights yet"):
        run.read_weights()
    bernoulli = make_likelihood("bernoulli")
    run.save_weights({"encoder/a": np.array([1, np.nan], np.float32)}, bernoulli)
    with pytest.raises(RunError, match=r"must be finite.*encoder/a"):
        run.read_weights()
    run.save_weights({"encoder/a": np.zeros(1000, np.float32)}, bernoulli)
    path = tmp_path / "best.weights.npz"
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(RunError, match="damaged"):
        run.read_weights()


def test_summary_marks_the_end(tiny_config, vae, tmp_path):
    run = begun(tmp_path, tiny_config, vae)
    run.finish({"epochs": 3})
    assert Run.open(tmp_path).summary == {"epochs": 3}
    assert json.loads((tmp_path / "summary.json").read_text()) == {"epochs": 3}


def test_a_likelihood_is_kept_with_the_weights_it_belongs_to(tiny_config, vae, tmp_path):
    train = dataclasses.replace(tiny_config.train, likelihood="gaussian")
    run = begun(tmp_path, dataclasses.replace(tiny_config, train=train), vae)
    kept = {name: value + 1 for name, value in vae.weights().items()}
    run.save_weights(kept, make_likelihood("gaussian", [0.125]))
    run.finish({})
    again = Run.open(tmp_path)
    assert again.likelihood() == make_likelihood("gaussian", [0.125])
    weights = again.vae().weights()
    assert all(np.array_equal(kept[name], weights[name]) for name in kept)
