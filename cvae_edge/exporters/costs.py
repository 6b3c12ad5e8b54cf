"""What an export costs: nats, differences, bytes, microseconds; each through the very file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median, quantiles
from typing import Any

import numpy as np

from cvae_edge import noise
from cvae_edge.codec import Codec, Graph
from cvae_edge.elbo import Array, Evaluation, evaluate
from cvae_edge.exporters.build import Exported
from cvae_edge.exporters.naive import NAIVE, PRECISIONS
from cvae_edge.exporters.parity import Difference, check_parity
from cvae_edge.exporters.subject import Subject
from cvae_edge.exporters.targets import TARGETS
from cvae_edge.exporters.tolerance import measure_tolerance
from cvae_edge.manifest import HALVES, Artifact
from cvae_edge.quiet import quiet
from cvae_edge.runtime.timing import make_call, time_in_turns

_DRAWS = 2000  # of a prior
_SLOWER = 1.05  # in three runs of four: what timing cannot tell apart is not called slower


class Elbos:
    """ELBOs on the held-out images, all with the same noise, so that differences are paired."""

    def __init__(self, subject: Subject, held_out: int) -> None:
        self._subject = subject
        self._images = subject.dataset.test.images[:held_out]
        self.images = len(self._images)
        evaluation = self._evaluate(subject.trained)
        self.trained, self.trained_psnr = evaluation.elbo, evaluation.psnr

    def of(self, codec: Codec) -> float:
        """Return a codec's ELBO in nats per image."""
        return self._evaluate(codec).elbo

    def pair(self, encoder: Graph, decoder: Graph) -> Codec:
        """Return an encoder and a decoder with the trained model's prior."""
        return self._subject.with_pair(encoder, decoder)

    def _evaluate(self, codec: Codec) -> Evaluation:
        subject = self._subject
        return evaluate(codec, self._images, subject.binarize, subject.likelihood)

    def with_half(self, exported: Exported) -> float:
        """Return the ELBO of an exported file in its place in the trained model."""
        return self.of(self._subject.with_half(exported.artifact.role, exported.graph))

    def of_draws(self, prior: Graph) -> float:
        """Return how much likelier a prior's draws are than the trained one's, in nats.

        Both under the trained density, from the same noise. Its negative is, for small changes of
        the map, the divergence of the two priors.
        """
        trained, latent_dim = self._subject.trained, self._subject.vae.latent_dim
        eps = noise.standard_normal(_DRAWS, latent_dim)
        return _mean_log_prior(trained, prior(eps=eps)["z"]) - _mean_log_prior(
            trained, trained.draw(eps)
        )


def check_and_measure(exported: Exported, subject: Subject, elbos: Elbos) -> Exported:
    """Fill in what the manifest says of a file, but for its latency.

    Raises:
        ParityError: it is not the trained model.
    """
    artifact, graph = exported.artifact, exported.graph
    differences = check_parity(artifact, graph, subject.reference)
    artifact = artifact._replace(difference={n: d.largest for n, d in differences.items()})
    artifact = artifact._replace(
        tolerance=measure_tolerance(replace(exported, artifact=artifact), subject.reference),
        report={**artifact.report, **_report(artifact, exported.content, differences)},
    )
    if artifact.role == "prior":
        artifact = artifact._replace(elbo_difference=elbos.of_draws(graph))
    elif artifact.role != "reconstruct":
        elbo = elbos.with_half(exported)
        artifact = artifact._replace(elbo=elbo, elbo_difference=elbo - elbos.trained)
    return replace(exported, artifact=artifact)


def _report(
    artifact: Artifact, content: bytes, differences: dict[str, Difference]
) -> dict[str, Any]:
    count = TARGETS[artifact.format].count_operators
    report: dict[str, Any] = {"mean_difference": {n: d.mean for n, d in differences.items()}}
    return {**report, "operators": count(content)} if count else report


def measure_pairs(
    exported: Sequence[Exported], elbos: Elbos, trained_on: float | None
) -> list[dict[str, Any]]:
    """Return the ELBO of every encoder with every decoder of its format; devices mix them.

    Args:
        exported: the files.
        elbos: measures them.
        trained_on: the ELBO of the trained model in float32, trained on as networks of integers
            were; None where none was.
    """
    halves = {role: [e for e in exported if e.artifact.role == role] for role in HALVES}
    pairs = []
    for encoder in halves["encoder"]:
        for decoder in halves["decoder"]:
            if encoder.artifact.format != decoder.artifact.format:
                continue
            elbo = elbos.of(elbos.pair(encoder.graph, decoder.graph))
            pair = {
                "format": encoder.artifact.format,
                "encoder": encoder.artifact.precision,
                "decoder": decoder.artifact.precision,
                "elbo": elbo,
                "elbo_difference": elbo - elbos.trained,
            }
            if trained_on is not None:
                pair["trained_on_difference"] = elbo - trained_on
            pairs.append(pair)
    return pairs


def naive_files(
    exported: Sequence[Exported], subject: Subject, inputs: Mapping[str, Array]
) -> dict[str, tuple[Artifact, bytes]]:
    """Return the tools' own export of the same kind by the name of each file that has one.

    Args:
        exported: the files.
        subject: the trained model.
        inputs: a calibration set, for those in int8.
    """
    files = {}
    for e in exported:
        a = e.artifact
        if a.role in HALVES and a.format in NAIVE and a.precision in PRECISIONS:
            naive = NAIVE[a.format](getattr(subject.vae, a.role), a.precision, inputs)
            files[a.file] = (naive.described_by(a), naive.content)
    return files


def measure_latencies(
    exported: Sequence[Exported], naive: Mapping[str, tuple[Artifact, bytes]]
) -> list[Exported]:
    """Time every file, and what ``naive`` has beside it, in turns; say which are slower."""
    files = {e.artifact.file: (e.artifact, e.content) for e in exported}
    files |= {_naive(name): file for name, file in naive.items()}
    with quiet():  # LiteRT announces its delegate
        calls = {name: make_call(*file) for name, file in files.items()}
    times = time_in_turns(calls)
    return [replace(e, artifact=_with_latency(e.artifact, times)) for e in exported]


def _mean_log_prior(codec: Codec, z: Array) -> float:
    """Return the mean of log p(z), but for a constant."""
    return float((codec.prior_gain(z) - np.float32(0.5) * (z * z).sum(axis=1)).mean())


def _naive(file: str) -> str:
    return f"naive {file}"


def _with_latency(artifact: Artifact, times: Mapping[str, list[float]]) -> Artifact:
    own, naive = times[artifact.file], times.get(_naive(artifact.file))
    report = {**artifact.report, "latency_us": round(median(own), 1)}
    if naive is not None:
        report["naive_latency_us"] = round(median(naive), 1)
    float32 = times.get(f"{artifact.role}.{artifact.format}")
    if artifact.precision != "float32" and float32 is not None:
        ratios = [a / b for a, b in zip(own, float32, strict=True)]
        if quantiles(ratios)[0] > _SLOWER:
            report["slower"] = (
                f"{artifact.file} is slower than float32 on this machine: {median(own):.0f} "
                f"against {median(float32):.0f} microseconds an image"
            )
    return artifact._replace(report=report)
