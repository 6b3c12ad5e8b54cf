"""What one configuration runs, opened as ``EdgeCVAE`` opens it, and the inputs it takes in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count, cycle
from typing import Any

import numpy as np

from cvae_edge import noise
from cvae_edge.benchmark.plan import INPUTS, Configuration
from cvae_edge.bundle import Bundle
from cvae_edge.codec import Array
from cvae_edge.elbo import reparameterize
from cvae_edge.errors import BundleError
from cvae_edge.manifest import Artifact, Manifest
from cvae_edge.runtime.codecs import Codecs, DeviceCodec
from cvae_edge.runtime.engines import open_session
from cvae_edge.runtime.model import EdgeCVAE

Call = Callable[..., object]  # takes one of ``make_inputs`` by name
_INK = 0.87  # of a digit's pixels this share is dark


def find_artifacts(manifest: Manifest, files: Sequence[str]) -> list[Artifact]:
    """Return the entries of a configuration's files.

    Raises:
        BundleError: the bundle was replaced by one without them.
    """
    entries = {artifact.file: artifact for artifact in manifest.artifacts}
    missing = [file for file in files if file not in entries]
    if missing:
        raise BundleError(f"{manifest.name} must have {', '.join(missing)}, got {list(entries)}")
    return [entries[file] for file in files]


def open_call(bundle: Bundle, configuration: Configuration) -> Call:
    """Open a configuration's files and return what runs them once.

    encoder: x -> mean and logvar. decoder: z -> images. reconstruct: x, eps -> images. generate:
    the index of the first image in a seed's stream -> images, its noise included. Batches are split
    over threads as ``EdgeCVAE`` does, but for a fused file, which is run whole.

    Raises:
        BundleError: a file is damaged, or cannot be opened.
    """
    c = configuration
    artifacts = find_artifacts(bundle.manifest, c.files)
    if artifacts[0].role == "reconstruct":
        return open_session(artifacts[0], bundle.read(artifacts[0]), c.threads, c.provider)
    codecs = Codecs(bundle, artifacts, c.threads, c.provider)
    if artifacts[0].role == "encoder":
        codecs.small.open("encoder")
    if c.role == "generate":
        return partial(EdgeCVAE(codecs).generate, c.batch, 0)
    runs: dict[str, Call] = {"encoder": _encode, "decoder": _decode, "reconstruct": _reconstruct}
    return partial(runs[c.role], codecs, bundle.manifest)


def make_inputs(manifest: Manifest, role: str, batch: int) -> Iterator[dict[str, Any]]:
    """Return an endless iterator over distinct inputs for ``open_call``'s function."""
    if role == "generate":
        return ({"start": batch * i} for i in count())
    return cycle([_input(manifest, role, batch, batch * i) for i in range(INPUTS)])


def _input(manifest: Manifest, role: str, batch: int, start: int) -> dict[str, Array]:
    normal = noise.standard_normal(batch, manifest.model.latent_dim, 0, start)
    if role == "decoder":
        return {"z": normal}
    x = noise.uniform((batch, *manifest.model.image_shape), 0, start)
    if manifest.pixels.binarize != "none":
        x = (x > _INK).astype(np.float32)
    return {"x": x} if role == "encoder" else {"x": x, "eps": normal}


def _encode(codecs: Codecs, manifest: Manifest, x: Array) -> tuple[Array, Array]:
    mean, logvar = (np.empty((len(x), manifest.model.latent_dim), np.float32) for _ in range(2))

    def work(codec: DeviceCodec, low: int, high: int) -> None:
        mean[low:high], logvar[low:high] = codec.encode(x[low:high])

    codecs.run(len(x), work)
    return mean, logvar


def _decode(codecs: Codecs, manifest: Manifest, z: Array) -> Array:
    out = np.empty((len(z), *manifest.model.image_shape), np.float32)

    def work(codec: DeviceCodec, low: int, high: int) -> None:
        out[low:high] = codec.images(z[low:high])

    codecs.run(len(z), work)
    return out


def _reconstruct(codecs: Codecs, manifest: Manifest, x: Array, eps: Array) -> Array:
    out = np.empty((len(x), *manifest.model.image_shape), np.float32)

    def work(codec: DeviceCodec, low: int, high: int) -> None:
        mean, logvar = codec.encode(x[low:high])
        out[low:high] = codec.images(reparameterize(mean, logvar, eps[low:high]))

    codecs.run(len(x), work)
    return out
