"""The ELBO of a bundle's files, on the device that runs them."""

from __future__ import annotations

from collections.abc import Callable

from cvae_edge.bundle import Bundle
from cvae_edge.codec import Codec
from cvae_edge.config import DataConfig
from cvae_edge.datasets import load_dataset
from cvae_edge.elbo import Evaluation, evaluate
from cvae_edge.errors import BundleError, DataError
from cvae_edge.runtime.choose import choose_prior
from cvae_edge.runtime.codecs import DeviceCodec
from cvae_edge.runtime.engines import open_session


def open_codec(
    bundle: Bundle,
    format: str = "onnx",
    encoder: str = "float32",
    decoder: str = "float32",
    prior: str = "auto",
) -> Codec:
    """Open an encoder and a decoder of a bundle, of any two precisions; devices mix them.

    The prior's precision is the decoder's; see ``choose_prior``, which says what else is raised.

    Raises:
        BundleError: the bundle has no such files, or they cannot be opened.
    """
    artifacts = [
        bundle.manifest.find(role, format, precision)
        for role, precision in (("encoder", encoder), ("decoder", decoder))
    ]
    artifacts += choose_prior(bundle.manifest, format, decoder, prior)
    codec = DeviceCodec(
        bundle.manifest.model,
        artifacts,
        lambda artifact: open_session(artifact, bundle.read(artifact)),
    )
    for artifact in artifacts:
        codec.open(artifact.role)
    return codec


def evaluate_bundle(
    bundle: Bundle,
    codec: Codec,
    data: str | None = None,
    samples: int = 1,
    seed: int = 0,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Evaluate a bundle's files on test images; see ``elbo.evaluate``.

    Args:
        bundle: the bundle.
        codec: its files.
        data: as after ``--data``; None takes the data the model was trained on.
        samples: draws an image.
        seed: stream of the noise.
        on_batch: called after each batch with the images done and their total.

    Raises:
        BundleError: no data is recorded, and none given.
        DataError: the images are not of the model's shape.
    """
    manifest = bundle.manifest
    if data is None and "data" not in manifest.training:
        raise BundleError(f"{bundle.source} does not record its data: give --data")
    pixels = manifest.pixels
    if data:
        height, width, channels = pixels.image_shape
        config = DataConfig(
            data, (height, width), channels, fit=pixels.fit, background=pixels.background
        )
    else:
        config = DataConfig.from_dict(manifest.training["data"])
    dataset = load_dataset(config)
    if dataset.image_shape != manifest.model.image_shape:
        raise DataError(
            f"{bundle.source} takes images of {manifest.model.image_shape}, "
            f"{dataset.name} has {dataset.image_shape}"
        )
    return evaluate(
        codec,
        dataset.test.images,
        pixels.binarize,
        manifest.likelihood,
        samples,
        seed,
        on_batch=on_batch,
    )
