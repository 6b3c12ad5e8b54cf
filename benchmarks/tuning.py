"""What networks of integers lose before and after they are tuned, in every pairing of files.

    python benchmarks/tuning.py RUN ... [--precision int8] [--epochs 2] [--images 10000]

RUN is a finished run. Each file is measured in its engine, on test images. Beside it stands the
float32 model trained on for as long, without rounding. Times are the processor's, those of tuning
and of a part of an epoch of training in turn, for the machine may have other work. What was kept of
other runs stays.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import record
from tuning_report import time_table, tuning_table, words

from cvae_edge.training.framework import import_tensorflow

import_tensorflow()

import tensorflow as tf  # noqa: E402

from cvae_edge.codec import Codec  # noqa: E402
from cvae_edge.elbo import Evaluation, evaluate  # noqa: E402
from cvae_edge.exporters.build import Builder  # noqa: E402
from cvae_edge.exporters.settings import Kind, Settings  # noqa: E402
from cvae_edge.exporters.subject import Subject, load_subject  # noqa: E402
from cvae_edge.exporters.tune import train_on  # noqa: E402
from cvae_edge.training.run import Run  # noqa: E402
from cvae_edge.training.scale import make_scale  # noqa: E402
from cvae_edge.training.step import make_optimizer, make_step  # noqa: E402

ROLES = ("encoder", "decoder")
STEPS = 50  # of training in a turn


def evaluation(subject: Subject, codec: Codec, images: int | None) -> Evaluation:
    test = subject.dataset.test.images[:images]
    return evaluate(codec, test, subject.binarize, subject.likelihood)


def difference(found: Evaluation, beside: Evaluation) -> dict[str, float]:
    """ELBO in nats, and where there are such PSNR in dB and bits per dimension, one less other."""
    names = ("elbo", "psnr", "bits_per_dim")
    both = ((name, getattr(found, name), getattr(beside, name)) for name in names)
    return {name: round(a - b, 5) for name, a, b in both if a is not None and b is not None}


def pairings(
    builder: Builder, format: str, precision: str, images: int | None
) -> dict[str, Evaluation]:
    subject = builder.subject
    files = {
        (role, p): builder.build(Kind(role, format, p))
        for role in ROLES
        for p in ("float32", precision)
    }
    return {
        f"{encoder} encoder, {decoder} decoder": evaluation(
            subject,
            Codec(files["encoder", encoder].graph, files["decoder", decoder].graph),
            images,
        )
        for encoder in ("float32", precision)
        for decoder in ("float32", precision)
        if precision in (encoder, decoder)
    }


def measure(folder: Path, precision: str, epochs: float, images: int | None) -> dict[str, Any]:
    subject = load_subject(Run.open(folder))
    settings = Settings(precisions=("float32", precision))
    builder = Builder(subject, settings)
    trained = evaluation(subject, subject.trained, images)
    longer = evaluation(subject, train_on(subject, epochs), images)
    train = make_training(subject)
    train()  # compiles
    result: dict[str, Any] = {
        "run": folder.name,
        "test_images": trained.images,
        "trained": {"elbo": trained.elbo, "psnr": trained.psnr, "bits": trained.bits_per_dim},
        "training_epochs": subject.run.config.train.epochs,
        "trained_on": difference(longer, trained),
        "formats": {},
    }
    for format, _ in settings.integers():
        before = pairings(builder, format, precision, images)
        epoch, started = train(), time.process_time()
        tuning = builder.tune(format, precision, epochs, lambda done, steps: None)
        seconds = time.process_time() - started
        after = pairings(builder, format, precision, images)
        size = sum(builder.build(Kind(r, format, precision)).artifact.size_bytes for r in ROLES)
        result["formats"][format] = {
            "tuning": tuning,
            "processor_seconds": round(seconds, 1),
            "epoch_processor_seconds": round((epoch + train()) / 2, 1),
            "bytes": size,
            "before": {name: difference(e, trained) for name, e in before.items()},
            "after": {name: difference(e, trained) for name, e in after.items()},
            "beside_trained_on": {name: difference(e, longer) for name, e in after.items()},
        }
        print(folder.name, format, result["formats"][format], flush=True)
    return result


def make_training(subject: Subject) -> Callable[[], float]:
    """Return what trains for a while as the run did, and says what an epoch of it takes.

    That is in seconds of the processor.
    """
    config, vae = subject.run.config.train, subject.run.vae()
    images, batch = subject.dataset.train.images, config.batch_size
    epoch, scale = len(images) // batch, make_scale(vae, config)
    optimizer = make_optimizer(vae, scale, config, epoch)
    strategy = tf.distribute.get_strategy()
    step = make_step(vae, scale, optimizer, config, subject.binarize, strategy)
    steps = min(epoch, STEPS)

    def train() -> float:
        started = time.process_time()
        for i in range(steps):
            step(images[i * batch : (i + 1) * batch], i)
        return (time.process_time() - started) * epoch / steps

    return train


def report(runs: list[dict[str, Any]]) -> str:
    trained_on = "".join(
        f"Float32 trained on gives {words(run['trained_on'])} on {run['run']}.\n" for run in runs
    )
    return (
        "Less the trained model's, on test images: ELBO in nats (of a density where the "
        "likelihood is gaussian), PSNR in dB, bits per dimension.\n\n"
        f"{tuning_table(runs)}\n{trained_on}\n{time_table(runs)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--epochs", type=float, default=Settings().tune_epochs)
    parser.add_argument("--images", type=int, help="of the test images; by default all")
    options = parser.parse_args()
    name = f"tuning_{options.precision}"
    for folder in options.runs:
        run = measure(folder, options.precision, options.epochs, options.images)
        kept = record.kept(name)
        runs = kept["runs"] if kept.get("epochs") == options.epochs else []
        figures = {
            "epochs": options.epochs,
            "runs": [*(r for r in runs if r["run"] != run["run"]), run],
            "versions": record.versions("tensorflow", "onnxruntime", "ai-edge-litert"),
        }
        title = f"What {options.precision} loses before and after tuning"
        record.write(name, figures, title, report(figures["runs"]))


if __name__ == "__main__":
    main()
