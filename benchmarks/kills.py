"""SIGKILL at random moments: is what was written whole, and is nothing left over?

    python benchmarks/kills.py [--tries 50] [--only train export-new export-over export-link]

Each try starts a training or an export of a tiny model, kills it at a moment drawn from its whole
duration, looks at what is there, and runs it once more to the end. A training must end with the
weights, the optimizer and the history of one that was not killed, to the bit. A bundle must be
whole, or absent if there was none; a link to it must stay a link. After the next run nothing may be
there that an undisturbed one would not have left, in the output's folder or in that for temporary
files.
With --only, the figures of the others are kept.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forks
import record

from cvae_edge.bundle import Bundle
from cvae_edge.exporters import export_bundle
from cvae_edge.training.launch import train
from cvae_edge.training.run import Run


def train_to_the_end(folder: Path, config: forks.RunConfig) -> None:
    train(folder, config, resume=(folder / "config.json").exists())


def compare(folder: Path, expected: Path) -> None:
    """Exit with 3 unless two runs are equal to the bit, clocks aside."""
    if state(folder) != state(expected):
        sys.exit(3)


def state(folder: Path) -> object:
    import tensorflow as tf

    run = Run.open(folder)
    reader = tf.train.load_checkpoint(str(run.checkpoints))
    clocks = ("seconds/", "save_counter/", "_CHECKPOINT")
    names = [n for n in reader.get_variable_to_shape_map() if not n.startswith(clocks)]
    weights, scale = run.read_weights()
    return (
        {name: bytes(reader.get_tensor(name)) for name in names},
        {name: value.tobytes() for name, value in weights.items()},
        scale,
        [{k: v for k, v in row.items() if k != "seconds"} for row in run.history()],
    )


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def is_whole(folder: Path) -> bool:
    bundle = Bundle.open(folder)
    for entry in (*bundle.manifest.artifacts, *bundle.manifest.files):
        bundle.read(entry)
    return True


class Kind:
    """What is killed, and what must hold then."""

    def __init__(self, name: str, place: Path, config: forks.RunConfig, run: Path) -> None:
        self.name, self.config, self.run = name, config, run
        self.scratch, self.output = place / "scratch", place / name
        self.scratch.mkdir(exist_ok=True)
        self.target = self.output / ("link" if name == "export-link" else "out")

    def prepare(self, bundle: Path | None) -> None:
        shutil.rmtree(self.output, ignore_errors=True)
        self.output.mkdir()
        if self.name in ("export-over", "export-link") and bundle is not None:
            shutil.copytree(bundle, self.output / "out")
        if self.name == "export-link":
            self.target.symlink_to("out")

    def work(self) -> None:
        if self.name == "train":
            train_to_the_end(self.target, self.config)
        else:
            export_bundle(self.run, self.target, ["onnx"], fused=False, held_out=10)

    def fault(self, undisturbed: set[str]) -> str:
        """Run to the end after a kill; return what is wrong, or nothing."""
        if self.name == "export-link" and not self.target.is_symlink():
            return "the link is gone"
        if self.name in ("export-over", "export-link") and not self.target.exists():
            return "no bundle"
        if self.name != "train" and self.target.exists():
            is_whole(self.target)
        if forks.finish(forks.start(self.work, self.scratch)):
            return "the next run failed"
        if self.name == "train":
            check: Callable[[], None] = lambda: compare(self.target, self.run)  # noqa: E731
            if forks.finish(forks.start(check, self.scratch)):
                return "not equal to the bit"
        else:
            is_whole(self.target)
        left = listing(self.output) ^ undisturbed | listing(self.scratch)
        return f"left over or missing: {sorted(left)}" if left else ""


def measure(kind: Kind, bundle: Path | None, tries: int, rng: random.Random) -> dict[str, Any]:
    kind.prepare(bundle)
    started = time.monotonic()
    if forks.finish(forks.start(kind.work, kind.scratch)):
        sys.exit(f"{kind.name} failed without a kill")
    duration, undisturbed = time.monotonic() - started, listing(kind.output)
    found: Counter[str] = Counter()
    killed = 0
    for i in range(tries):
        kind.prepare(bundle)
        pid = forks.start(kind.work, kind.scratch)
        time.sleep(rng.uniform(0, duration))
        os.kill(pid, signal.SIGKILL)
        killed += forks.finish(pid) == -signal.SIGKILL
        found[kind.fault(undisturbed) or "whole"] += 1
        print(f"{kind.name} {i + 1}/{tries}: {dict(found)}", flush=True)
    return {"tries": tries, "killed": killed, "seconds": round(duration, 2), "found": dict(found)}


def main() -> None:
    names = ("train", "export-new", "export-over", "export-link")
    parser = argparse.ArgumentParser()
    parser.add_argument("--tries", type=int, default=50)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    arguments = parser.parse_args()
    rng = random.Random(0)
    figures = record.kept("kills").get("kinds", {})
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        config, run, bundle = forks.tiny_config(place), place / "run", place / "bundle"
        for work in (
            lambda: train_to_the_end(run, config),
            lambda: export_bundle(run, bundle, ["onnx"], held_out=10),
        ):
            if forks.finish(forks.start(work, place)):
                sys.exit("the model could not be made")
        for name in arguments.only:
            kind = Kind(name, place, config, run)
            figures[name] = measure(kind, bundle, arguments.tries, rng)
    rows = []
    for name, f in figures.items():
        found = "; ".join(f"{what}: {count}" for what, count in f["found"].items())
        rows.append((name, f["tries"], f["killed"], f["seconds"], found))
    columns = ("what", "tries", "killed", "seconds undisturbed", "found, next run included")
    text = record.markdown_table(columns, rows)
    record.write("kills", {"kinds": figures}, "SIGKILL at random moments", text)
    if any(set(figures[name]["found"]) != {"whole"} for name in arguments.only):
        sys.exit(1)


if __name__ == "__main__":
    main()
