"""The page of `cvae-edge kit web` in Chromium: load to first image, and a decode by each file.

    python benchmarks/web.py BUNDLE [--rounds 9]

Needs Chromium, Node and, in tests/web, `npm ci --ignore-scripts`. Each round is a new browser with
an empty cache; the first, which fills the disk's, is left out. The page is served from this machine
without the headers for threads, so wasm has one. On a machine with other work, run it as `chrt -r 1
python benchmarks/web.py`; the results say so. They go to benchmarks/results/MACHINE/web.json and
.md.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import record

from cvae_edge.bundle import Bundle
from cvae_edge.kits.onnxruntime_web import pinned
from cvae_edge.kits.web import make_web_kit

FOLDER = Path(__file__).parent
MODULES = FOLDER.parent / "tests" / "web" / "node_modules"
GOALS = {"load": 1500.0, "decode": 1.0}  # milliseconds


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def visit(bundle: Path, rounds: int) -> list[dict[str, Any]]:
    """Make the page, serve it, and measure it in a new browser each round."""
    programs = [shutil.which("node"), shutil.which("chromium")]
    if None in programs or not (MODULES / "playwright-core").is_dir():
        sys.exit("node, chromium and npm ci --ignore-scripts in tests/web are needed")
    with tempfile.TemporaryDirectory() as folder:
        make_web_kit(Bundle.open(bundle), Path(folder, "kit"), MODULES)
        handler = functools.partial(Quiet, directory=f"{folder}/kit")
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://localhost:{server.server_port}/"
            node, chromium = programs
            command = [node, FOLDER / "web.js", MODULES.resolve(), chromium, url, rounds + 1]
            words = [str(word) for word in command]
            printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            server.shutdown()
    return list(json.loads(printed))[1:]


def priority() -> str:
    realtime = hasattr(os, "SCHED_RR") and os.sched_getscheduler(0) == os.SCHED_RR
    return "at real-time priority beside other work" if realtime else "at normal priority"


def spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(float(np.median(values)), 3),
        "lowest": round(min(values), 3),
        "highest": round(max(values), 3),
    }


def table(figures: dict[str, Any], goals: bool = True) -> str:
    rows = [("load to first image", figures["load_milliseconds"], GOALS["load"])]
    for precision, each in figures["decode_milliseconds"].items():
        words = precision.replace("_", " ")
        rows.append((f"decode one image, {words}", each, GOALS["decode"]))
    cells = [
        (name, *(f"{each[key]:.4g}" for key in ("median", "lowest", "highest")), f"{goal:g}")
        for name, each, goal in rows
    ]
    columns = ("milliseconds", "median", "lowest", "highest", "goal")
    shown = len(columns) if goals else len(columns) - 1
    return record.markdown_table(columns[:shown], [row[:shown] for row in cells])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    before = os.getloadavg()[0]  # processes that would run
    rounds = visit(options.bundle, options.rounds)
    precisions = rounds[0]["milliseconds"]
    figures = {
        "versions": {"onnxruntime-web": pinned().version, "chromium": rounds[0]["version"]},
        "rounds": options.rounds,
        "priority": priority(),
        "load_average_before": round(before, 2),
        "load_milliseconds": spread([each["ready"] for each in rounds]),
        "decode_milliseconds": {
            p: spread([each["milliseconds"][p] for each in rounds]) for p in precisions
        },
    }
    text = (
        f"Chromium {rounds[0]['version']}, onnxruntime-web {pinned().version}, wasm with one "
        f"thread, served from this machine, {priority()}; load average before: {before:.1f}.\n\n"
    )
    record.write("web", figures, "The page in a browser", text + table(figures))


if __name__ == "__main__":
    main()
