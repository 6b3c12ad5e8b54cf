"""What files take on this machine: measured at their first load, and kept.

Times are kept in the user's cache folder, a small file for each set of files and threads; where
nobody may write there, in memory alone. Deleting any of them only makes the next load measure anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cvae_edge.bundle import Bundle
from cvae_edge.errors import BundleError, CvaeEdgeError
from cvae_edge.machine import cpu_features, processor
from cvae_edge.manifest import Artifact
from cvae_edge.runtime.engines import find_engine, load_engine, version
from cvae_edge.runtime.parallel import available_cores
from cvae_edge.runtime.timing import Call, make_call, time_in_turns
from cvae_edge.untrusted import is_number, parse_json
from cvae_edge.version import __version__
from cvae_edge.writing import new_file

_TURNS, _RUNS = 6, 3
_SECONDS = 0.01  # a file, after which no further turns begin
_REST = 0.0015  # onnxruntime's idle threads spin for 1 ms after a run
_LONGEST = 1 << 16  # bytes of a file that is read back

_LOG = logging.getLogger(__name__)
_memory: dict[str, dict[str, float]] = {}
_lock = threading.Lock()  # two threads that measured at once would be in each other's way


def measure_files(
    bundle: Bundle, threads: int | None, artifacts: Sequence[Artifact]
) -> Mapping[str, float]:
    """Return the microseconds of one run on one image, by file, as they are kept or measured now.

    Args:
        bundle: that the files are in.
        threads: that a run may use; None: all cores.
        artifacts: files of one format and role, which run on the CPU.

    Returns:
        Files that cannot be opened are missing; nothing, if the engine is.
    """
    try:
        load_engine(artifacts[0].format)
    except CvaeEdgeError:
        return {}
    threads = threads or available_cores()
    key = _key(artifacts, threads)
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32] + ".json"
    with _lock:
        if name not in _memory:
            kept = _read(name, key)
            if kept is None:
                measured = _measure(bundle, artifacts, threads)
                _LOG.info("%s: microseconds an image %s", bundle.source, measured)
                kept = _read(name, key)  # another process may have been first: agree with it
                if kept is None:
                    kept = measured
                    _write(name, key, measured)
            _memory[name] = kept
        return _memory[name]


def cache_folder() -> Path | None:
    """Return this package's folder in the user's cache; None where a user has none."""
    try:
        user = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
        return (Path(user) if user else Path.home() / ".cache") / "cvae-edge"
    except RuntimeError:  # no home
        return None


def _key(artifacts: Sequence[Artifact], threads: int) -> dict[str, Any]:
    """Return all that times depend on, as JSON values."""
    engine = find_engine(artifacts[0].format)
    return {
        "files": {a.file: a.sha256 for a in artifacts},
        "engine": f"{engine.name} {version(engine)}",
        "cvae-edge": __version__,
        "processor": f"{processor()}, {', '.join(cpu_features() or ['features unknown'])}",
        "cores": available_cores(),
        "threads": threads,
    }


def _measure(bundle: Bundle, artifacts: Sequence[Artifact], threads: int) -> dict[str, float]:
    """Return each file's least time: what others took from it only makes a time longer."""
    calls: dict[str, Call] = {}
    for artifact in artifacts:
        try:
            call = make_call(artifact, bundle.read(artifact), threads=threads)
            call()  # what cannot be run cannot be timed
        except BundleError:
            continue
        calls[artifact.file] = call
    rest = _REST if threads > 1 else 0.0
    times = time_in_turns(calls, _TURNS, _RUNS, rest=rest, seconds=_SECONDS * len(calls))
    return {file: round(min(of_file), 1) for file, of_file in times.items()}


def _read(name: str, key: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the kept times under a key; None if there are none, or they are damaged."""
    folder = cache_folder()
    try:
        with (folder / name).open("rb") as file:  # type: ignore[operator]
            document = parse_json(file.read(_LONGEST))
        times = document["microseconds"]
        right = document["key"] == key and times and set(times) <= set(key["files"])
        return times if right and all(is_number(t) and t > 0 for t in times.values()) else None
    except (OSError, BundleError, TypeError, KeyError, AttributeError):
        return None


def _write(name: str, key: Mapping[str, Any], times: Mapping[str, float]) -> None:
    """Keep times, if this user may write."""
    folder = cache_folder()
    if folder is None or not times:
        return
    text = json.dumps({"key": key, "microseconds": times}, indent=1)
    with suppress(OSError), new_file(folder / name, durable=False) as file:  # read-only, say
        file.write(text.encode())
