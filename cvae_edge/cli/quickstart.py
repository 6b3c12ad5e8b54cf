"""The command that goes the whole way once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import typer

from cvae_edge.cli.extra import need_tensorflow
from cvae_edge.cli.output import print_table, progress_bar, say
from cvae_edge.cli.planning import plan_training
from cvae_edge.cli.training import run_training

_RUN = Path("runs/quickstart")
_BUNDLE = Path("export/quickstart")
_SAMPLES = "samples.png"


def quickstart(
    epochs: int = typer.Option(3, help="Epochs to train. More make a better model."),
) -> None:
    """Train on the packaged MNIST, export, verify and generate, in about three minutes."""
    started = time.monotonic()
    need_tensorflow()
    say(f"Training {epochs} epochs on the packaged MNIST into {_RUN}.")
    resumed = _RUN if (_RUN / "config.json").exists() else None
    model_options = {"preset": "seed"}
    plan = plan_training(resumed, None, model_options, {}, {"epochs": epochs})
    run = run_training(_RUN, plan, resume=resumed is not None)
    say(f"Exporting to {_BUNDLE} and checking every file against the trained model.")
    _export()
    _verify()
    say(f"Generating 64 images with onnxruntime into {_SAMPLES}.")
    _generate()
    summary = run.summary or {}
    rows = [
        ("test ELBO, trained model", f"{summary['test_elbo']:.2f} nats"),
        *_with_standard(summary),
        ("run", f"{_RUN} (training-curve.png, reconstructions.png)"),
        ("bundle", f"{_BUNDLE} (README.md describes it)"),
        ("generated images", _SAMPLES),
        ("time", f"{(time.monotonic() - started) / 60:.1f} min"),
    ]
    print_table("Made", ["what", "where"], rows)
    say(
        "\nNext:\n"
        f"  cvae-edge generate {_BUNDLE} -n 100 --seed 1 --out more.png\n"
        "  cvae-edge train     the whole recipe, into runs/mnist\n"
        "  cvae-edge export    float32 to int8, from runs/mnist into export/mnist"
    )


def _with_standard(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a row for what the ELBO is without the learned prior; a resumed run may have none."""
    elbo = summary.get("test_elbo_standard_prior")
    return [] if elbo is None else [("with the standard prior", f"{elbo:.2f} nats")]


def _export() -> None:
    from cvae_edge.cli.report import print_artifacts
    from cvae_edge.exporters import export_bundle

    with progress_bar() as bar:
        task = bar.add_task("exporting", total=None, note="")
        result = export_bundle(_RUN, _BUNDLE, on_stage=lambda stage: bar.update(task, note=stage))
    print_artifacts(str(_BUNDLE), result.manifest.artifacts)


def _verify() -> None:
    from cvae_edge.bundle import Bundle
    from cvae_edge.cli.report import print_checks, require_right
    from cvae_edge.runtime.verify import verify_bundle

    checks = verify_bundle(Bundle.open(_BUNDLE))
    print_checks("checked on this machine", checks)
    require_right(str(_BUNDLE), checks)


def _generate() -> None:
    from cvae_edge import EdgeCVAE
    from cvae_edge.runtime.outputs import write_images

    write_images(_SAMPLES, EdgeCVAE.load(_BUNDLE, format="onnx").generate(64, seed=0), None)
