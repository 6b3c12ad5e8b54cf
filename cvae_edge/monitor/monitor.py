"""The monitor of a model: scores, verdicts and heat maps of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array, Codec
from cvae_edge.errors import BundleError
from cvae_edge.evidence import Evidence
from cvae_edge.fitting import Fitted
from cvae_edge.likelihoods import Likelihood
from cvae_edge.manifest import Manifest
from cvae_edge.monitor.fitting import Fit, fit, worst
from cvae_edge.monitor.methods import METHODS, Method, find_method
from cvae_edge.monitor.rates import rank_of
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
    bounds: dict[str, NDArray[np.float64]]  # see ``Evidence.bounds``; none: not asked


class Monitor:
    """Tells anomalous images from good ones; ``EdgeCVAE.monitor``."""

    def __init__(self, model: Model, settings: Settings, fitted: Fit) -> None:
        self.settings, self.fit = settings, fitted
        self._model, self._method = model, find_method(settings.method)

    @property
    def maps(self) -> bool:
        """Whether there are heat maps: a method may give just a number."""
        return self._method.map is not None

    def check(self, images: Any, heat: bool = True, bounds: bool = False) -> Verdicts:
        """Judge images of ``settings.image_shape``.

        Args:
            images: as ``EdgeCVAE`` takes them.
            heat: whether to make heat maps, where the method has any.
            bounds: whether to tell those at the mean, of images of the model's own shape.

        Raises:
            DataError: the images are not of that shape, or not images.
            BundleError: the monitor does not fit the model.
        """
        shape = self.settings.image_shape
        x = as_images(images, shape)
        maps = self._method.map if heat else None
        statistics = self.fit.statistics

        def judge(codec: Codec, x: Array) -> dict[str, NDArray[Any]]:
            evidence = Evidence(codec, x, likelihood_of(self._model))
            features = self._method.features(evidence)
            judged: dict[str, NDArray[Any]] = evidence.bounds(with_error) if bounds else {}
            judged["distance"] = self._method.distance(features, statistics)
            if maps is not None:
                judged["heat"] = enlarge(maps(features, statistics, x.shape[1:]), x.shape[1:3])
            return judged

        with_error = self._model.manifest.pixels.binarize == "none"
        windows = len(window_places(shape, self._model.image_shape))
        try:
            judged = self._model.measure(Fitted(cut(x, self._model.image_shape)), judge)
        except (ValueError, KeyError) as error:  # arrays of other shapes or names
            raise BundleError("the monitor's arrays must be those of the bundle's model") from error
        score = self.fit.scores(worst(judged.pop("distance"), windows))
        heat_map = judged.pop("heat", None)
        if heat_map is not None:
            heat_map = join(heat_map, shape, self._model.image_shape)
            heat_map = heat_map / np.float32(self.fit.map_threshold or 1)
        return Verdicts(score, score > 1, heat_map, judged)


def fit_monitors(
    models: Iterable[Model], images: Any, method: str | None, rate: float
) -> Iterator[Monitor]:
    """Fit a monitor on good images that the models, one's files in several precisions, never saw.

    The first model's holds for the others as well, as long as through their files it calls as many
    good images anomalous as its interval allows: so verdicts agree. Another gets one of its own.

    Args:
        models: whose files it is for.
        images: (n, h, w, c), of the models' size or larger.
        method: of ``METHODS``; None takes ``field``, or ``kl`` where there is no decoder.
        rate: share of good images to be called anomalous.

    Raises:
        ConfigError: an unknown method, or a rate that is not between 0 and 1.
        DataError: too few images, images that are all alike, or smaller ones than the models'.
        BundleError: the method needs a decoder, and there is none.
    """
    first: tuple[Monitor, NDArray[np.float64]] | None = None
    for model in models:
        settings, features = _look_at_good(model, images, method, rate)
        found = METHODS[settings.method]
        windows = len(features) // settings.images
        if first is not None:
            shared = first[0].fit
            distances = worst(found.distance(features, shared.statistics), windows)
            if _holds(shared, first[1], distances, rate):
                yield Monitor(model, settings, shared)
                continue
        fitted = fit(found, features, model.image_shape, windows, rate)
        monitor = Monitor(model, settings, fitted)
        first = first or (monitor, worst(found.distance(features, fitted.statistics), windows))
        yield monitor


def _look_at_good(
    model: Model, images: Any, method: str | None, rate: float
) -> tuple[Settings, NDArray[Any]]:
    """Return the settings, and the features of good images, a row a window."""
    found = _method_for(model, method)
    x = as_batch(images, model.image_shape)
    shape = x.shape[1:]
    windows = cut(as_images(x, shape), model.image_shape)
    return Settings(found, rate, len(x), shape), features_of(model, METHODS[found], windows)


def _holds(fitted: Fit, before: NDArray[np.float64], now: NDArray[np.float64], rate: float) -> bool:
    """Whether distances of the same good images through other files give as many alarms."""
    threshold = np.sort(before)[rank_of(len(before), rate) - 1]
    low, high = fitted.interval
    return bool(low <= (now > threshold).mean() <= high)


def _method_for(model: Model, method: str | None) -> str:
    roles = {artifact.role for artifact in model.manifest.artifacts}
    method = method or ("field" if "decoder" in roles else "kl")
    if find_method(method).decodes and "decoder" not in roles:
        raise BundleError(
            f"the method {method} needs a decoder, and {model.manifest.name} has none: use kl or "
            "mu_squared"
        )
    return method


def features_of(model: Model, method: Method, x: Any) -> NDArray[Any]:
    """Return what a method sees of images of the model's size."""

    def look(codec: Codec, x: Array) -> dict[str, NDArray[Any]]:
        return {_FEATURES: method.features(Evidence(codec, x, likelihood_of(model)))}

    return model.measure(x, look)[_FEATURES]


def likelihood_of(model: Model) -> Likelihood:
    """Return the model's likelihood."""
    return model.manifest.likelihood
