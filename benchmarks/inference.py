"""A trained model's files in this package's runtime, beside what people would use instead.

    python benchmarks/inference.py RUN BUNDLE [--rounds 5] [--roles decoder,encoder,reconstruct]

RUN is a finished run, BUNDLE its export. Peers get the naive exports of the
same model (plain tf2onnx, onnxruntime's static quantization, the TFLite converter), or the model
itself. Each peer is a process of its own, with its own threads; all take a turn in every round, and
ratios are taken within a round. --roles, --batches and --threads measure a part and keep the rest.
Results go to benchmarks/results/MACHINE/inference.json and .md.

Decoders give logits and encoders mean and logvar, as the files do; reconstruct gives images, and
ours is the public method with all that it checks.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import record
from inference_report import ROLES, report
from turns import Peer, PeerError

from cvae_edge.bundle import Bundle
from cvae_edge.likelihoods import Bernoulli

SCRIPT = Path(__file__).with_name("inference_peers.py")
IMAGES = 1024  # test images: inputs, and what losses are measured on
JOB = ("role", "batch", "threads")
PACKAGES = (
    "onnxruntime",
    "ai-edge-litert",
    "openvino",
    "onnxruntime-ep-openvino",
    "tensorflow",
    "keras",
    "tf2onnx",
    "torch",
)
ONNX_FILES = {"float32": "float32", "int8": "int8", "int8 per channel": "int8"}
TFLITE_FILES = {"float32": "float32", "dynamic_range": "dynamic_range", "int8": "int8"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """One way to run the model: a tool's, of inference_peers.py."""

    name: str
    tool: str
    kind: tuple[str, ...]
    precision: str
    package: str  # what must be installed


def candidates(bundle: Bundle) -> list[Candidate]:
    """Ours, every format, precision and provider; then the peers."""
    found = []
    for format, precision in dict.fromkeys(
        (a.format, a.precision) for a in bundle.manifest.artifacts
    ):
        if format == "tflite":
            providers = [("cpu", "ai_edge_litert")]
        else:
            providers = [("cpu", "onnxruntime"), ("openvino", "openvino")]
        found += [
            Candidate(
                f"cvae_edge, {format} {precision}, {provider}",
                "ours",
                (format, precision, provider),
                precision,
                package,
            )
            for provider, package in providers
        ]
    for tool, package, files in (
        ("onnxruntime", "onnxruntime", ONNX_FILES),
        ("LiteRT", "ai_edge_litert", TFLITE_FILES),
        ("OpenVINO", "openvino", ONNX_FILES),
    ):
        found += [
            Candidate(f"{tool}, naive {file}", tool, (file,), precision, package)
            for file, precision in files.items()
        ]
    found += [
        Candidate(name, "tensorflow", (name,), "float32", "tensorflow")
        for name in ("tf.function", "Keras predict")
    ]
    return [*found, Candidate("PyTorch, eager, channels_last", "pytorch", (), "float32", "torch")]


def write_inputs(run: Path, folder: Path) -> None:
    """Write the naive exports, ROLE.PRECISION.FORMAT, and images.npz: what all peers are given."""
    from cvae_edge.training.framework import import_tensorflow

    import_tensorflow()
    from cvae_edge.elbo import reparameterize
    from cvae_edge.exporters.calibration import calibration_set
    from cvae_edge.exporters.naive import NAIVE
    from cvae_edge.exporters.subject import load_subject
    from cvae_edge.noise import standard_normal
    from cvae_edge.preprocess import draw_binary
    from cvae_edge.training.run import Run

    subject = load_subject(Run.open(run))
    inputs = calibration_set(subject, 500)
    kinds = [("onnx", "float32"), ("onnx", "int8"), *(("tflite", file) for file in TFLITE_FILES)]
    for role, (format, precision) in product(("encoder", "decoder"), kinds):
        file = NAIVE[format](getattr(subject.vae, role), precision, inputs)
        (folder / f"{role}.{precision}.{format}").write_bytes(file.content)
    for role, name in (("encoder", "x"), ("decoder", "z")):
        quantize_per_channel(folder, role, {name: inputs[name]})
    x = draw_binary(subject.dataset.test.images[:IMAGES], subject.dataset.binarize, 0)
    mean, logvar = subject.trained.encode(x)
    z = reparameterize(mean, logvar, standard_normal(len(x), subject.vae.latent_dim, 0))
    np.savez(folder / "images.npz", x=x, mean=mean, z=z, x_logits=subject.trained.decode(z))


def quantize_per_channel(folder: Path, role: str, inputs: dict[str, np.ndarray]) -> None:
    """Write what onnxruntime's guide recommends for x86-64, and OpenVINO runs fastest: U8S8."""
    from onnxruntime.quantization import QuantType, quantize_static

    from cvae_edge.exporters.naive import CalibrationBatches
    from cvae_edge.quiet import quiet

    with quiet():
        quantize_static(
            folder / f"{role}.float32.onnx",
            folder / f"{role}.int8 per channel.onnx",
            CalibrationBatches(inputs),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )


def start(
    folder: Path, arguments: argparse.Namespace, threads: int, stack: ExitStack
) -> tuple[dict[Candidate, Peer], dict[str, str]]:
    """Return the peers, which end with the stack, and by name why the others are skipped."""
    peers, skipped = {}, {}
    for candidate in candidates(Bundle.open(arguments.bundle)):
        if importlib.util.find_spec(candidate.package) is None:
            skipped[candidate.name] = f"{candidate.package} is not installed"
            continue
        request = {
            "folder": str(folder),
            "tool": candidate.tool,
            "run": str(arguments.run),
            "bundle": str(arguments.bundle),
            "threads": threads,
            "kind": candidate.kind,
        }
        try:
            peers[candidate] = stack.enter_context(Peer(str(SCRIPT), json.dumps(request)))
        except PeerError as error:
            skipped[candidate.name] = str(error)
    return peers, skipped


def losses(peers: dict[Candidate, Peer], folder: Path) -> dict[str, float]:
    """Return what each decoder loses in nats per image beside the trained one, on the same z."""
    images, logits = np.load(folder / "images.npz"), folder / "logits.npy"
    trained = Bernoulli().log_prob(images["x"], images["x_logits"])
    found = {}
    for candidate, peer in peers.items():
        peer.ask(logits_to=str(logits))
        loss = trained - Bernoulli().log_prob(images["x"], np.load(logits))
        found[candidate.name] = round(float(loss.mean()), 4)
    return found


def measure(peers: dict[Candidate, Peer], rounds: int, job: dict[str, Any]) -> list[Row]:
    """Return a row for each peer, with its rounds' microseconds for a whole batch."""
    times: dict[Candidate, list[float]] = {candidate: [] for candidate in peers}
    for number in range(rounds + 1):
        for candidate, peer in peers.items():
            seconds = peer.ask_undisturbed(**job)
            if number:  # the first round opens files and warms up
                times[candidate].append(round(seconds * 1e6, 1))
    return [
        {
            "name": candidate.name,
            "ours": candidate.tool == "ours",
            "precision": candidate.precision,
            "microseconds": round(float(np.median(rounds_)), 1),
            "rounds": rounds_,
        }
        for candidate, rounds_ in times.items()
    ]


def pairs(bundle: Bundle) -> list[dict[str, Any]]:
    """Return what the encoder and decoder of each precision cost together, by the manifest."""
    manifest = bundle.manifest
    return [
        {
            "format": pair["format"],
            "precision": pair["encoder"],
            "loss_nats": round(-pair["elbo_difference"], 4),
            "bytes": sum(
                manifest.find(role, pair["format"], pair[role]).size_bytes
                for role in ("encoder", "decoder")
            ),
        }
        for pair in manifest.report["pairs"]
        if pair["encoder"] == pair["decoder"]
    ]


def keep(figures: dict[str, Any], rows: list[Row]) -> None:
    """Put ``rows`` into the figures, in the place of earlier ones of the same job."""
    jobs = {tuple(row[name] for name in JOB) for row in rows}
    others = [r for r in figures.get("rows", []) if tuple(r[name] for name in JOB) not in jobs]
    figures["rows"] = [*others, *rows]


def compare(
    figures: dict[str, Any], folder: Path, threads: int, arguments: argparse.Namespace
) -> None:
    """Measure every job with so many threads; figures are kept after each."""
    with ExitStack() as stack:
        peers, figures["skipped"] = start(folder, arguments, threads, stack)
        figures["loss_nats"] = losses(peers, folder)
        figures["versions"] = record.versions(*PACKAGES)
        for role, batch in product(arguments.roles, arguments.batches):
            job = {"role": role, "batch": batch, "seconds": arguments.seconds}
            rows = measure(peers, arguments.rounds, job)
            keep(figures, [{"role": role, "batch": batch, "threads": threads, **r} for r in rows])
            record.write("inference", figures, "Inference beside peers", report(figures))


def integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.1, help="of a turn")
    parser.add_argument("--roles", type=lambda text: text.split(","), default=list(ROLES))
    parser.add_argument("--batches", type=integers, default=[1, 16, 256])
    parser.add_argument("--threads", type=integers, default=[1, 2])
    arguments = parser.parse_args()
    kept = record.folder() / "inference.json"
    figures = json.loads(kept.read_text()) if kept.exists() else {}
    figures["pairs"] = pairs(Bundle.open(arguments.bundle))
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(arguments.run, Path(folder))
        for threads in arguments.threads:
            compare(figures, Path(folder), threads, arguments)


if __name__ == "__main__":
    main()
