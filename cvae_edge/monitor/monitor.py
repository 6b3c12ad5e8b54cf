"""The monitor of a model: scores, verdicts and heat maps of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array, Codec
from cvae_edge.errors import BundleError
from cvae_edge.likelihoods import Likelihood
from cvae_edge.manifest import Manifest
from cvae_edge.monitor.evidence import Evidence
from cvae_edge.monitor.fitting import Fit, fit, worst
from cvae_edge.monitor.methods import Method, find_method
from cvae_edge.monitor.windows import cut, enlarge, join, window_places
from cvae_edge.runtime.arguments import as_batch, as_images

_FEATURES = "features"


class Model(Protocol):
    """What a monitor needs of ``EdgeCVAE``."""

    manifest: Manifest
    image_shape: tuple[int, int, int]

    def measure(
        self, x: Any, of_chunk: Callable[[Codec, Array], Mapping[str, NDArray[Any]]]
    ) -> dict[str, NDArray[Any]]:
        """See ``EdgeCVAE.measure``."""


class Settings(NamedTuple):
    """What holds for all of a bundle's files."""

    method: str
    false_alarms: float  # share of good images that are called anomalous
    images: int  # good ones it was fitted on
    image_shape: tuple[int, int, int]  # the model's, or larger: then looked at in windows


class Verdicts(NamedTuple):
    """What a monitor says of n images."""

    score: NDArray[np.float64]  # (n,); 0 is the typical good image, above 1 is anomalous
    anomalous: NDArray[np.bool_]  # (n,)
    heat: Array | None  # (n, height, width); above 1 is more than good images show; or not asked


class Monitor:
    """Tells anomalous images from good ones; ``EdgeCVAE.monitor``."""

    def __init__(self, model: Model, settings: Settings, fitted: Fit) -> None:
        self.settings, self.fit = settings, fitted
        self._model, self._method = model, find_method(settings.method)

    @property
    def maps(self) -> bool:
        """Whether there are heat maps: a method may give just a number."""
        return self._method.map is not None

    def check(self, images: Any, heat: bool = True) -> Verdicts:
        """Judge images of ``settings.image_shape``.

        Args:
            images: as ``EdgeCVAE`` takes them.
            heat: whether to make heat maps, where the method has any.

        Raises:
            DataError: the images are not of that shape, or not images.
            BundleError: the monitor does not fit the model.
        """
        shape = self.settings.image_shape
        x = as_images(images, shape)
        maps = self._method.map if heat else None
        statistics = self.fit.statistics

        def judge(codec: Codec, x: Array) -> dict[str, NDArray[Any]]:
            features = self._method.features(Evidence(codec, x, likelihood_of(self._model)))
            judged: dict[str, NDArray[Any]] = {
                "distance": self._method.distance(features, statistics)
            }
            if maps is not None:
                judged["heat"] = enlarge(maps(features, statistics, x.shape[1:]), x.shape[1:3])
            return judged

        windows = len(window_places(shape, self._model.image_shape))
        try:
            judged = self._model.measure(cut(x, self._model.image_shape), judge)
        except (ValueError, KeyError) as error:  # arrays of other shapes or names
            raise BundleError("the monitor's arrays must be those of the bundle's model") from error
        score = self.fit.scores(worst(judged["distance"], windows))
        if maps is None:
            return Verdicts(score, score > 1, None)
        heat_map = join(judged["heat"], shape, self._model.image_shape)
        return Verdicts(score, score > 1, heat_map / np.float32(self.fit.map_threshold or 1))


def fit_monitor(model: Model, images: Any, method: str | None, rate: float) -> Monitor:
    """Fit a monitor on good images that the model was not trained on.

    Args:
        model: whose files it is for.
        images: (n, h, w, c), of the model's size or larger.
        method: of ``METHODS``; None takes ``field``, or ``kl`` where there is no decoder.
        rate: share of good images to be called anomalous.

    Raises:
        ConfigError: an unknown method, or a rate that is not between 0 and 1.
        DataError: too few images, images that are all alike, or smaller ones than the model's.
        BundleError: the method needs a decoder, and there is none.
    """
    roles = {artifact.role for artifact in model.manifest.artifacts}
    method = method or ("field" if "decoder" in roles else "kl")
    found = find_method(method)
    if found.decodes and "decoder" not in roles:
        raise BundleError(
            f"the method {method} needs a decoder, and {model.manifest.name} has none: use kl or "
            "mu_squared"
        )
    x = as_batch(images, model.image_shape)
    shape = x.shape[1:]
    windows = len(window_places(shape, model.image_shape))
    features = features_of(model, found, cut(as_images(x, shape), model.image_shape))
    settings = Settings(method, rate, len(features) // windows, shape)
    return Monitor(model, settings, fit(found, features, model.image_shape, windows, rate))


def features_of(model: Model, method: Method, x: Any) -> NDArray[Any]:
    """Return what a method sees of images of the model's size."""

    def look(codec: Codec, x: Array) -> dict[str, NDArray[Any]]:
        return {_FEATURES: method.features(Evidence(codec, x, likelihood_of(model)))}

    return model.measure(x, look)[_FEATURES]


def likelihood_of(model: Model) -> Likelihood:
    """Return the model's likelihood."""
    return model.manifest.likelihood
