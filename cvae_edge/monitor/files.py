"""A monitor in a bundle: monitor.json and monitor.npz, read back without trusting either."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cvae_edge.array_files import ArrayFile
from cvae_edge.bundle import MAX_BYTES, Bundle, new_bundle, sha256_of, write_manifest
from cvae_edge.errors import BundleError, ConfigError, DataError
from cvae_edge.manifest import Artifact
from cvae_edge.model_config import require_image_shape
from cvae_edge.monitor.fitting import Fit
from cvae_edge.monitor.methods import METHODS
from cvae_edge.monitor.monitor import Model, Monitor, Settings
from cvae_edge.monitor.rates import CONFIDENCE
from cvae_edge.untrusted import check, is_number, is_whole, parse_json, typed, word
from cvae_edge.writing import write_bytes, write_text

MONITOR, ARRAYS = "monitor.json", "monitor.npz"
_VERSION = 1

Monitors = Sequence[tuple[Sequence[Artifact], Monitor]]  # by all files of a model


def load_monitor(
    model: Model, artifacts: Sequence[Artifact], contents: Mapping[str, bytes], source: str
) -> Monitor:
    """Read the monitor of the files that a model runs.

    Args:
        model: the model.
        artifacts: all that it runs.
        contents: of the bundle's files that belong to a monitor, their SHA-256 compared.
        source: what to call the bundle in messages.

    Raises:
        BundleError: there is none for them, or it is damaged or of a later version.
    """
    name = model.manifest.monitor
    if name is None:
        raise BundleError(f"{source} has no monitor: cvae-edge monitor --good IMAGES fits one")
    try:
        fields = parse_json(_content(contents, name))
        check(isinstance(fields, dict), "a monitor must be an object", type(fields).__name__)
        check(fields.get("format_version") == _VERSION, f"its format_version must be {_VERSION}, "
              "which this cvae-edge reads", fields.get("format_version"))  # fmt: skip
        settings = _settings(fields)
        number, entry = _find_fit(typed(fields, "fits", list), artifacts)
        content = _content(contents, typed(fields, "arrays", str))
        arrays = ArrayFile(io.BytesIO(content), MAX_BYTES)
        statistics = {
            array.removeprefix(f"{number}_"): arrays.read(array)
            for array in arrays.names or ()
            if array.startswith(f"{number}_")
        }
        numbers = all(a.dtype == np.float32 and np.isfinite(a).all() for a in statistics.values())
        check(numbers, "arrays must be finite float32", ", ".join(statistics))
        return Monitor(model, settings, _fit(entry, statistics))
    except (BundleError, ConfigError, DataError) as error:
        raise BundleError(f"{source}: {name}: {error}") from error


def _content(contents: Mapping[str, bytes], name: str) -> bytes:
    check(name in contents, f"a monitor's files must be {MONITOR} and {ARRAYS}", name)
    return contents[name]


def write_monitor(folder: Path, bundle: Bundle, monitors: Monitors) -> None:
    """Write a bundle anew with the monitor of its files, in one step; a former one goes.

    Args:
        folder: the bundle's.
        bundle: what is there now.
        monitors: one or more.

    Raises:
        BundleError: another process writes the bundle, or a file of it is damaged.
        OSError: it cannot be written.
    """
    manifest = bundle.manifest
    kept = [name for name in manifest.files if name not in (manifest.monitor, MONITOR, ARRAYS)]
    with new_bundle(folder) as new:
        for artifact in manifest.artifacts:
            write_bytes(new / artifact.file, bundle.read(artifact))
        for name in kept:
            write_bytes(new / name, bundle.read(name))
        write_bytes(new / ARRAYS, _arrays(monitors))
        write_text(new / MONITOR, json.dumps(_document(monitors), indent=1, allow_nan=False) + "\n")
        files = {name: sha256_of(new / name) for name in (*kept, MONITOR, ARRAYS)}
        write_manifest(new, manifest._replace(files=files, monitor=MONITOR))


def _fits(monitors: Monitors) -> list[tuple[Fit, list[Sequence[Artifact]]]]:
    """Return each fit once, with all pairs of files that it holds for."""
    fits: dict[int, tuple[Fit, list[Sequence[Artifact]]]] = {}
    for artifacts, monitor in monitors:
        fits.setdefault(id(monitor.fit), (monitor.fit, []))[1].append(artifacts)
    return list(fits.values())


def _arrays(monitors: Monitors) -> bytes:
    """Return an .npz of all statistics, their names after the number of the fit."""
    arrays: dict[str, Any] = {
        f"{number}_{name}": values
        for number, (fit, _) in enumerate(_fits(monitors))
        for name, values in fit.statistics.items()
    }
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def _document(monitors: Monitors) -> dict[str, Any]:
    (_, first), *_ = monitors
    return {
        "format_version": _VERSION,
        **first.settings._asdict(),
        "confidence": CONFIDENCE,
        "arrays": ARRAYS,
        "fits": [
            {"files": [{a.file: a.sha256 for a in pair} for pair in pairs], **_numbers(fit)}
            for fit, pairs in _fits(monitors)
        ],
    }


def _numbers(fit: Fit) -> dict[str, Any]:
    return {name: value for name, value in fit._asdict().items() if name != "statistics"}


def _find_fit(fits: list[Any], artifacts: Sequence[Artifact]) -> tuple[int, dict[str, Any]]:
    """Return the entry that was fitted through these very files, and its number."""
    wanted = {artifact.sha256 for artifact in artifacts}
    names = {artifact.file for artifact in artifacts}
    known: set[str] = set()
    with_prior = False
    for number, entry in enumerate(fits):
        check(isinstance(entry, dict), "a fit must be an object", type(entry).__name__)
        for files in typed(entry, "files", list):
            check(isinstance(files, dict), "files must be objects", type(files).__name__)
            values = [*files.values()]
            if all(isinstance(v, str) for v in values) and set(values) == wanted:
                return number, entry
            known |= set(files)
            with_prior |= names < set(files)
    if with_prior:
        raise BundleError("it was fitted with the learned prior: leave out --prior standard")
    if names <= known:
        raise BundleError(
            f"it is another model's: it was fitted through other files than these "
            f"{' and '.join(sorted(names))}; fit it anew with cvae-edge monitor"
        )
    raise BundleError(
        f"it was fitted for {', '.join(sorted(known)) or 'no files'}, not for "
        f"{' and '.join(sorted(names))}: fit it for these too, with cvae-edge monitor --precision"
    )


def _settings(fields: Mapping[str, Any]) -> Settings:
    method = word(fields, "method")
    check(method in METHODS, f"method must be one of {', '.join(METHODS)}", method)
    rate, images = _number(fields, "false_alarms"), fields.get("images")
    check(0 < rate < 1, "false_alarms must be above 0 and below 1", rate)
    check(is_whole(images), "images must be a whole number", images)
    shape = tuple(typed(fields, "image_shape", list))
    require_image_shape(shape)
    return Settings(method, rate, int(images or 0), shape)


def _fit(entry: Mapping[str, Any], statistics: Mapping[str, Any]) -> Fit:
    threshold, typical = _number(entry, "threshold"), _number(entry, "typical")
    check(threshold > typical, "threshold must be above typical", threshold)
    largest = None if entry.get("map_threshold") is None else _number(entry, "map_threshold")
    check(largest is None or largest > 0, "map_threshold must be above 0", largest)
    quantiles, interval = (typed(entry, name, list) for name in ("quantiles", "interval"))
    check(all(map(is_number, [*quantiles, *interval])), "quantiles must be numbers", quantiles)
    check(len(quantiles) > 1, "quantiles must be two or more", len(quantiles))
    check(len(interval) == 2, "interval must be two numbers", interval)
    low, high = interval
    return Fit(threshold, typical, largest, tuple(quantiles), (low, high), statistics)


def _number(fields: Mapping[str, Any], name: str) -> float:
    value = fields.get(name)
    check(is_number(value), f"{name} must be a number", value)
    return float(value or 0)
