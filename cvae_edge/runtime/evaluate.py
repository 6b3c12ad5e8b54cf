"""The ELBO of a bundle's files, on the device that runs them."""

from __future__ import annotations

from collections.abc import Callable

from cvae_edge.bundle import Bundle
from cvae_edge.config import DataConfig
from cvae_edge.datasets import load_dataset
from cvae_edge.elbo import Evaluation, evaluate
from cvae_edge.errors import BundleError, DataError
from cvae_edge.runtime.graph import GraphCodec, open_graph


def evaluate_bundle(
    bundle: Bundle,
    format: str = "onnx",
    encoder: str = "float32",
    decoder: str = "float32",
    data: str | None = None,
    samples: int = 1,
    seed: int = 0,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Evaluate one encoder and one decoder of a bundle on test images; see ``elbo.evaluate``.

    Args:
        bundle: the bundle.
        format: onnx or tflite.
        encoder: the encoder's precision.
        decoder: the decoder's precision; the two may differ.
        data: as after ``--data``; None takes the data the model was trained on.
        samples: draws an image.
        seed: stream of the noise.
        on_batch: called after each batch with the images done and their total.

    Raises:
        BundleError: no such files, or no data recorded.
        DataError: the images are not of the model's shape.
    """
    manifest = bundle.manifest
    graphs = [
        open_graph(artifact, bundle.read(artifact))
        for artifact in (
            manifest.find("encoder", format, encoder),
            manifest.find("decoder", format, decoder),
        )
    ]
    if data is None and "data" not in manifest.training:
        raise BundleError(f"{bundle.source} does not record its data: give --data")
    config = DataConfig(data) if data else DataConfig.from_dict(manifest.training["data"])
    dataset = load_dataset(config)
    if dataset.image_shape != manifest.model.image_shape:
        raise DataError(
            f"{bundle.source} takes images of {manifest.model.image_shape}, "
            f"{dataset.name} has {dataset.image_shape}"
        )
    images = dataset.test.images
    return evaluate(
        GraphCodec(*graphs), images, manifest.binarize, samples, seed, on_batch=on_batch
    )
