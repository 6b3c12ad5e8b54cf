"""What networks of integers lose before and after they are tuned, in every pairing of files.

    python benchmarks/tuning.py RUN ... [--precision int8] [--epochs 2] [--images 10000]

RUN is a finished run. Each file is measured in its engine, on test images. Beside it stands the
float32 model trained on for as long, without rounding.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import record

from cvae_edge.training.framework import import_tensorflow

import_tensorflow()

from cvae_edge.codec import Codec  # noqa: E402
from cvae_edge.elbo import Evaluation, evaluate  # noqa: E402
from cvae_edge.exporters.build import Builder  # noqa: E402
from cvae_edge.exporters.settings import Kind, Settings  # noqa: E402
from cvae_edge.exporters.subject import Subject, load_subject  # noqa: E402
from cvae_edge.exporters.tune import train_on  # noqa: E402
from cvae_edge.training.run import Run  # noqa: E402

ROLES = ("encoder", "decoder")


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
    started = time.monotonic()
    longer = evaluation(subject, train_on(subject, epochs), images)
    result: dict[str, Any] = {
        "run": folder.name,
        "test_images": trained.images,
        "trained": {"elbo": trained.elbo, "psnr": trained.psnr, "bits": trained.bits_per_dim},
        "training_seconds": (subject.run.summary or {}).get("seconds"),
        "trained_on": {
            **difference(longer, trained),
            "seconds": round(time.monotonic() - started, 1),
        },
        "formats": {},
    }
    for format, _ in settings.integers():
        before = pairings(builder, format, precision, images)
        tuning = builder.tune(format, precision, epochs, lambda done, steps: None)
        after = pairings(builder, format, precision, images)
        size = sum(builder.build(Kind(r, format, precision)).artifact.size_bytes for r in ROLES)
        result["formats"][format] = {
            "tuning": tuning,
            "bytes": size,
            "before": {name: difference(e, trained) for name, e in before.items()},
            "after": {name: difference(e, trained) for name, e in after.items()},
            "beside_trained_on": {name: difference(e, longer) for name, e in after.items()},
        }
        print(folder.name, format, result["formats"][format], flush=True)
    return result


def report(runs: list[dict[str, Any]]) -> str:
    rows = []
    for run in runs:
        for format, found in run["formats"].items():
            for name in found["before"]:
                cells = [
                    words(found[part][name]) for part in ("before", "after", "beside_trained_on")
                ]
                rows.append((run["run"], format, name, *cells, found["tuning"].get("seconds", "")))
        rows.append((run["run"], "", "float32, trained on", "", words(run["trained_on"]), "", ""))
    columns = ("run", "format", "pairing", "not tuned", "tuned", "beside trained on", "seconds")
    return (
        "Less the trained model's, on test images: ELBO in nats (of a density where the "
        "likelihood is gaussian), PSNR in dB, bits per dimension.\n\n"
        + record.markdown_table(columns, rows)
    )


def words(difference: dict[str, float]) -> str:
    units = {"elbo": "{:+.3f} nats", "psnr": "{:+.3f} dB", "bits_per_dim": "{:+.5f} bits"}
    return ", ".join(units[n].format(v) for n, v in difference.items() if n in units)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--epochs", type=float, default=Settings().tune_epochs)
    parser.add_argument("--images", type=int, help="of the test images; by default all")
    options = parser.parse_args()
    runs = [measure(run, options.precision, options.epochs, options.images) for run in options.runs]
    figures = {
        "epochs": options.epochs,
        "runs": runs,
        "versions": record.versions("tensorflow", "onnxruntime", "ai-edge-litert"),
    }
    title = f"What {options.precision} loses before and after tuning"
    record.write(f"tuning_{options.precision}", figures, title, report(runs))


if __name__ == "__main__":
    main()
