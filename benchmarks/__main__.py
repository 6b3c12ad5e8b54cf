"""Run the benchmarks, and rebuild the figures in the READMEs from what they gave.

    python -m benchmarks RUN BUNDLE [NAME ...]    all of them, or those named, one after the other
    python -m benchmarks --quick RUN BUNDLE       each for moments, into a temporary folder
    python -m benchmarks --readme                 only rebuild the figures

RUN is a finished run, BUNDLE its export. Peers that are not installed are named
as skipped.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))  # as each script has it

import readme  # noqa: E402


@dataclass(frozen=True)
class Script:
    """How a script is run; RUN and BUNDLE stand for the paths."""

    arguments: str
    quick: str  # further ones, for a run of moments


SCRIPTS = {
    "inference": Script("RUN BUNDLE", "--rounds 1 --seconds 0.01 --roles decoder --batches 1"),
    "cold_start": Script("RUN BUNDLE", "--rounds 1"),
    "footprint": Script("", "--only bare-onnxruntime"),
    "scaling": Script("", "--images 1000"),
    "training": Script("", "--rounds 1 --images 300"),
    "lowering": Script("RUN", "--turns 1"),
    "quantization": Script("RUN BUNDLE", "--images 50"),
    "tuning": Script("RUN", "--epochs 0.01 --images 50"),
    "samples": Script("BUNDLE", "--epochs 1 --images 500"),
    "runtime": Script("BUNDLE", "--rounds 1"),
    "web": Script("BUNDLE", "--rounds 1"),
    "microcontroller": Script("", "--cases 2 --only integers memory"),
    "recipes": Script("fast", "--epochs 1"),
    "kills": Script("", "--tries 1 --only train"),
    "full_disk": Script("", "--only score-s.csv"),
    "hostile": Script("", "--tries 1 --bytes 1"),
    "endurance": Script("", "--calls 160 --loads 10"),
    "mutation": Script("", "noise --faults 1"),
    "anomaly": Script("", "--good 1 --without 2 --epochs 1 --images 1000"),
}


def run(name: str, options: argparse.Namespace) -> bool:
    """Run one script in a process of its own; return whether it succeeded."""
    paths = {"RUN": str(options.run), "BUNDLE": str(options.bundle)}
    words = SCRIPTS[name].arguments.split()
    words += SCRIPTS[name].quick.split() if options.quick else []
    print(f"== {name}", flush=True)
    command = [sys.executable, str(FOLDER / f"{name}.py"), *(paths.get(w, w) for w in words)]
    return subprocess.run(command).returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCRIPTS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--readme", action="store_true")
    options = parser.parse_args()
    if not options.readme:
        if options.bundle is None:
            parser.error("RUN and BUNDLE are needed, or --readme")
        unknown = sorted(set(options.names) - set(SCRIPTS))
        if unknown:
            parser.error(f"NAME must be one of {', '.join(SCRIPTS)}, got {', '.join(unknown)}")
        with tempfile.TemporaryDirectory() as folder:
            if options.quick:
                os.environ["BENCHMARK_RESULTS"] = folder
            failed = [n for n in options.names or SCRIPTS if not run(n, options)]
        if failed:
            sys.exit(f"failed: {', '.join(failed)}")
    if not options.quick:
        print(f"rebuilt: {', '.join(readme.rebuild()) or 'nothing, all figures stand'}")


if __name__ == "__main__":
    main()
