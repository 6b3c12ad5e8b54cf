"""A monitor for a bundle's files, fitted on the device that runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cvae_edge.bundle import Bundle
from cvae_edge.errors import BundleError
from cvae_edge.manifest import Artifact, Manifest
from cvae_edge.monitor.files import write_monitor
from cvae_edge.monitor.monitor import Monitor, Settings, fit_monitors
from cvae_edge.monitor.rates import CONFIDENCE, check_rate
from cvae_edge.runtime.choose import choose_format, choose_pair, choose_prior
from cvae_edge.runtime.codecs import Codecs
from cvae_edge.runtime.model import EdgeCVAE
from cvae_edge.runtime.source import default_bundle

ALL = "all"


class FittedBundle(NamedTuple):
    """What was fitted and written."""

    folder: str
    settings: Settings
    monitors: list[tuple[list[Artifact], Monitor]]  # by the files it is for

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        pairs = [
            {
                "files": [artifact.file for artifact in files],
                "interval": list(monitor.fit.interval),
                "threshold": monitor.fit.threshold,
                "typical": monitor.fit.typical,
            }
            for files, monitor in self.monitors
        ]
        settings = {**self.settings._asdict(), "image_shape": list(self.settings.image_shape)}
        return {"bundle": self.folder, **settings, "confidence": CONFIDENCE, "pairs": pairs}


def fit_bundle(
    folder: str | Path | None,
    images: Any,
    *,
    method: str | None = None,
    false_alarms: float = 0.01,
    precisions: Sequence[str] = (ALL,),
    format: str = "auto",
    threads: int | None = None,
    provider: str = "cpu",
    trust: bool = False,
    on_pair: Callable[[int, int], None] = lambda done, total: None,
) -> FittedBundle:
    """Fit a monitor through a bundle's files and write it into the bundle, in one step.

    Args:
        folder: the bundle's; None for ``default_bundle()``.
        images: good ones (n, h, w, c), of the model's size or larger, on which the model was not
            trained.
        method: of ``monitor.methods.METHODS``; None takes the one that does best.
        false_alarms: share of good images to be called anomalous.
        precisions: of the files to fit it for; or all.
        format, threads, provider, trust: as in ``EdgeCVAE.load``.
        on_pair: called after each pair of files with those done and their total.

    Raises:
        BundleError: the bundle is no folder, damaged, or lacks a file; or the method needs one
            that it lacks.
        ConfigError: an argument is out of range.
        DataError: too few good images, or images that are all alike or of another size.
        OSError: the bundle cannot be written.
    """
    check_rate(false_alarms)
    folder = Path(folder) if folder is not None else default_bundle()
    if not folder.is_dir():
        raise BundleError(f"a monitor is written into a bundle's folder, {folder} is none")
    bundle = Bundle.open(folder, trust)
    pairs = _pairs(bundle.manifest, choose_format(bundle.manifest, format), precisions)
    models = (EdgeCVAE(Codecs(bundle, files, threads, provider)) for files in pairs)
    monitors: list[tuple[list[Artifact], Monitor]] = []
    for files, monitor in zip(
        pairs, fit_monitors(models, images, method, false_alarms), strict=True
    ):
        monitors.append((files, monitor))
        on_pair(len(monitors), len(pairs))
    write_monitor(folder, bundle, monitors)
    return FittedBundle(str(folder), monitors[0][1].settings, monitors)


def _pairs(manifest: Manifest, format: str, precisions: Sequence[str]) -> list[list[Artifact]]:
    """Return the encoder, the decoder and the prior's files of each precision asked for."""
    there = [a.precision for a in manifest.artifacts if (a.role, a.format) == ("encoder", format)]
    wanted = list(dict.fromkeys(there)) if ALL in precisions else list(precisions)
    if not wanted:
        raise BundleError(f"a monitor needs an encoder, and {manifest.name} has none for {format}")
    pairs = [choose_pair(manifest, format, precision) for precision in wanted]
    return [[*p, *choose_prior(manifest, format, p[-1].precision)] for p in pairs]
