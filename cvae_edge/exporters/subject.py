"""What is exported: a finished run's networks, and the images they are measured on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
from numpy.typing import NDArray

from cvae_edge.architectures.vae import VAE
from cvae_edge.codec import Codec, Graph
from cvae_edge.datasets import Dataset
from cvae_edge.elbo import evaluate
from cvae_edge.exporters.parity import IMAGES, Reference, make_reference
from cvae_edge.exporters.passes.fold import fold
from cvae_edge.exporters.passes.fuse import fuse
from cvae_edge.exporters.passes.normalize import normalize
from cvae_edge.likelihoods import Likelihood
from cvae_edge.manifest import ROLES
from cvae_edge.preprocess import Binarize
from cvae_edge.training.evaluate import load_run_data, trained_codec
from cvae_edge.training.run import Run

_CHOOSING_IMAGES = 1000
_CHOOSING_PIXELS = 1 << 22  # of all images together; where images are large, fewer choose
_FEWEST_IMAGES = 100


@dataclass(frozen=True)
class Subject:
    """A trained model and its data."""

    run: Run
    vae: VAE
    likelihood: Likelihood
    trained: Codec  # the model as it was trained
    networks: dict[str, keras.Model]  # by role, normalized and folded
    dataset: Dataset
    reference: Reference  # the trained model on the first test images

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.vae.image_shape

    @property
    def binarize(self) -> Binarize:
        """What is done to pixels."""
        return self.dataset.binarize

    @property
    def choosing(self) -> NDArray[Any]:
        """The images that choices are made on: validation, or training images if there are none."""
        held_out = self.dataset.validation
        fitting = _CHOOSING_PIXELS // math.prod(self.image_shape)
        images = (held_out if len(held_out) else self.dataset.train).images
        return images[: min(_CHOOSING_IMAGES, max(_FEWEST_IMAGES, fitting))]

    def choosing_elbo(self, codec: Codec) -> float:
        """Return the ELBO in nats per image on the images that choices are made on."""
        return evaluate(codec, self.choosing, self.binarize, self.likelihood).elbo

    def with_half(self, role: str, graph: Graph) -> Codec:
        """Return the trained model with another graph for a role."""
        trained = self.trained
        graphs = {"encoder": trained.encoder, "decoder": trained.decoder}
        priors = {"prior": trained.prior, "density": trained.density}
        return Codec(**{**graphs, **priors, role: graph})

    def with_pair(self, encoder: Graph, decoder: Graph) -> Codec:
        """Return the trained model's prior with another encoder and decoder."""
        return Codec(encoder, decoder, self.trained.prior, self.trained.density)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that there is a network for."""
        return tuple(role for role in ROLES if role in self.networks)

    def training(self) -> dict[str, Any]:
        """Return what the manifest tells of the training."""
        config = self.run.config.to_dict()
        preset = {"preset": self.run.config.model.preset}
        return {
            "data": config["data"],
            "train": config["train"],
            **preset,
            **(self.run.summary or {}),
        }


def load_subject(run: Run, data: str | None = None) -> Subject:
    """Load a run, with its data from where it is now or from ``data``.

    Warns:
        RunWarning: it is unfinished.
        DataWarning: its data is no longer what it was trained on.

    Raises:
        RunError: it has no weights yet, or they are damaged or NaN.
        DataError: its data cannot be read, or is not of the model's shape.
    """
    vae = run.vae()
    dataset = load_run_data(run, data)
    flow = run.flow()
    trained = trained_codec(vae, flow)
    reference = make_reference(trained, dataset.test.images[:IMAGES], dataset.binarize)
    encoder, decoder = (fold(normalize(half)) for half in (vae.encoder, vae.decoder))
    networks = {"encoder": encoder, "decoder": decoder, "reconstruct": fuse(encoder, decoder)}
    networks |= flow.networks() if flow else {}
    return Subject(run, vae, run.likelihood(), trained, networks, dataset, reference)
