"""A disk that is full: does every command say so, lose nothing, and succeed once there is room?

    python benchmarks/full_disk.py [--only COMMAND ...]

Runs in a mount namespace of its own (Linux, unshare), where a small tmpfs is the disk. Each command
that writes is run with no free byte, and with a share of what it needs, over what an earlier run
left where it replaces that. It must exit with 2 and one sentence, what was there must stay as it
was to the byte, and once there is room the next run must succeed and leave nothing else behind.
quickstart is train, export and generate, one after the other.
With --only, the figures of the others are kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import forks
import record

from cvae_edge.cli import main as run_cvae_edge

SHARES = (0.0, 0.1, 0.5, 0.9)
DISK = 8 << 20
TINY_BUNDLE = Path(__file__).parents[1] / "tests" / "data" / "tiny"
TRAINING = ("--epochs", "2", "--batch-size", "20", "--latent-dim", "3", "--width", "0.125")
EXPORT = ("--format", "onnx", "--quantize", "none", "--calibration-samples", "20")


class Command(NamedTuple):
    """A command and what it replaces."""

    words: tuple[str, ...]  # OUT is on the small disk, IN beside it
    before: tuple[str, ...] = ()  # that puts there what it continues or replaces


TRAIN = ("train", "--data", "IN/tiny.npz", *TRAINING, "--out", "OUT/run")
MAKE_BUNDLE = ("export", "IN/run", *EXPORT, "--out", "OUT/bundle")
BENCHMARK = ("benchmark", "IN/bundle", "--batch", "1", "--threads", "1", "--min-seconds", "0.02")
IMAGES = ("IN/images", "-b", str(TINY_BUNDLE), "--out")
HEATMAPS = ("score", "IN/few", "-b", "IN/monitored", "--heatmaps", "OUT/maps", "--out", "OUT/s.csv")
COMMANDS = {
    "train": Command(TRAIN),
    "resume": Command(("train", "--resume", "--epochs", "4", "--out", "OUT/run"), TRAIN),
    "import": Command(
        (
            "import",
            "IN/encoder.keras",
            "IN/decoder.keras",
            "--data",
            "IN/tiny.npz",
            "--out",
            "OUT/i",
        )
    ),
    "export": Command(MAKE_BUNDLE),
    "export-over": Command(MAKE_BUNDLE, MAKE_BUNDLE),
    "prior": Command(("prior", "OUT/run", "--epochs", "1"), TRAIN),
    "monitor": Command(("monitor", "OUT/bundle", "--good", "IN/good"), MAKE_BUNDLE),
    "monitor-report": Command(
        ("monitor", "IN/monitored", "--report", "IN/s.csv", "--out", "OUT/drift.png")
    ),
    "score-heatmaps": Command(HEATMAPS, HEATMAPS),
    "benchmark": Command((*BENCHMARK, "--out", "OUT/report")),
    **{
        f"kit-{kind}": Command(*[("kit", kind, str(TINY_BUNDLE), "--out", "OUT/kit")] * 2)
        for kind in ("web", "microcontroller")
    },
    **{
        f"{verb}-{out}": Command((verb, *words, f"OUT/{out}"), (verb, *words, f"OUT/{out}"))
        for verb, words, outs in (
            ("generate", (str(TINY_BUNDLE), "-n", "500", "--out"), ("a.png", "a.npy", "folder")),
            ("decode", ("IN/z.npz", "-b", str(TINY_BUNDLE), "--out"), ("a.png", "a.npz")),
            ("encode", IMAGES, ("z.npz",)),
            ("reconstruct", IMAGES, ("a.png", "a.npy", "folder")),
            ("score", IMAGES, ("s.csv",)),
            ("interpolate", ("IN/images", "IN/images", *IMAGES[1:]), ("i.png",)),
        )
        for out in outs
    },
}


class Disk:
    """A small disk, beside a folder of what commands read."""

    def __init__(self, place: Path) -> None:
        self.out, self.inputs, self.scratch = place / "disk", place / "inputs", place / "scratch"
        for folder in (self.out, self.inputs, self.scratch):
            folder.mkdir()
        self.filler = self.out / "filler"
        self.said = place / "said"
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", self.out], check=True
        )

    def run(self, words: tuple[str, ...]) -> int:
        """Run a command; what it says on standard error is in ``said``."""
        places = {"IN": str(self.inputs), "OUT": str(self.out)}
        real = [w if "/" not in w else w.replace("IN/", f"{places['IN']}/", 1) for w in words]
        real = [w.replace("OUT/", f"{places['OUT']}/", 1) for w in real]

        def work() -> None:
            with self.said.open("wb") as file:
                os.dup2(file.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.argv = ["cvae-edge", *real]
            run_cvae_edge()

        return forks.finish(forks.start(work, self.scratch))

    def clear(self) -> None:
        for path in self.out.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def fill(self, free: int) -> None:
        """Leave ``free`` bytes, to the page."""
        status = os.statvfs(self.out)
        pages = status.f_bavail - -(-free // status.f_frsize)
        with self.filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, pages) * status.f_frsize)

    def used(self) -> int:
        status = os.statvfs(self.out)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def content(self) -> dict[str, bytes]:
        files = (path for path in self.out.rglob("*") if path.is_file() and path != self.filler)
        return {str(path.relative_to(self.out)): path.read_bytes() for path in files}


class Undisturbed(NamedTuple):
    """What a command does where there is room."""

    before: Path  # a copy of what it finds
    names: set[str]  # of what it leaves
    need: int  # bytes, of old and new at once


def with_room(disk: Disk, command: Command, copy: Path) -> Undisturbed:
    disk.clear()
    if command.before and disk.run(command.before):
        sys.exit(disk.said.read_text())
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(disk.out, copy)
    used = disk.used()
    if disk.run(command.words):
        sys.exit(disk.said.read_text())
    # What is replaced stays until the new one is whole.
    need = disk.used() if disk.used() <= used else disk.used() - used
    return Undisturbed(copy, set(disk.content()), need)


def try_once(disk: Disk, command: Command, undisturbed: Undisturbed, share: float) -> str:
    """Return what is wrong with a command on a full disk, or that all is right."""
    disk.clear()
    shutil.copytree(undisturbed.before, disk.out, dirs_exist_ok=True)
    before = disk.content()
    disk.fill(int(share * undisturbed.need))
    code, said = disk.run(command.words), disk.said.read_text()
    lines = [line for line in said.splitlines() if line.startswith("cvae-edge: ")]
    errors = [line for line in lines if not line.startswith("cvae-edge: warning: ")]
    if code == 0 and share:
        return "it needed less"
    if code != 2 or len(errors) != 1 or "Traceback" in said:
        return f"exit {code}, said {said[-300:]!r}"
    after = disk.content()
    lost = [name for name, content in before.items() if after.get(name) != content]
    if lost and "--resume" not in command.words:  # which writes its run further
        return f"lost or changed: {lost}"
    disk.filler.unlink()
    # A training that had begun is not begun again, as its error says.
    begun = command.words == TRAIN and (disk.out / "run" / "config.json").exists()
    if disk.run(("train", "--resume", "--out", "OUT/run") if begun else command.words):
        return f"the next run failed: {disk.said.read_text()[-300:]}"
    left = set(disk.content()) ^ undisturbed.names
    return f"left over or missing: {sorted(left)}" if left else "right"


def make_inputs(disk: Disk) -> None:
    """Write what the commands read: data, images, latents, scores, a run, bundles, networks."""
    import numpy as np

    forks.tiny_config(disk.inputs)
    steps: tuple[tuple[str, ...], ...] = (
        ("train", "--data", "IN/tiny.npz", *TRAINING, "--out", "IN/run"),
        ("export", "IN/run", *EXPORT, "--out", "IN/bundle"),
        ("generate", str(TINY_BUNDLE), "-n", "200", "--out", "IN/images"),
        ("generate", str(TINY_BUNDLE), "-n", "400", "--seed", "1", "--out", "IN/good"),
        ("generate", str(TINY_BUNDLE), "-n", "5", "--seed", "2", "--out", "IN/few"),
        ("monitor", "IN/monitored", "--good", "IN/good"),
        ("score", "IN/few", "-b", "IN/monitored", "--out", "IN/s.csv"),
    )
    shutil.copytree(TINY_BUNDLE, disk.inputs / "monitored")
    np.savez(disk.inputs / "z.npz", z=np.zeros((500, 4), np.float32))
    for words in steps:
        if disk.run(words):
            sys.exit(disk.said.read_text())

    def save_networks() -> None:
        from cvae_edge.training.run import Run

        vae = Run.open(disk.inputs / "run").vae()
        vae.encoder.save(disk.inputs / "encoder.keras")
        vae.decoder.save(disk.inputs / "decoder.keras")

    networks: Callable[[], Any] = save_networks
    if forks.finish(forks.start(networks, disk.scratch)):
        sys.exit("the networks could not be saved")


def keep(found: dict[str, dict[str, str]]) -> None:
    columns = ("command", *(f"{share:.0%} of the room" for share in SHARES))
    rows = [(name, *found[name].values()) for name in COMMANDS if name in found]
    text = record.markdown_table(columns, rows)
    record.write("full_disk", {"commands": found}, "Commands on a full disk", text)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--inside", action="store_true", help="It is in its own namespace already.")
    arguments = parser.parse_args()
    if not arguments.inside:
        again = ["unshare", "--map-root-user", "--mount", sys.executable, *sys.argv, "--inside"]
        sys.exit(subprocess.run(again).returncode)
    found: dict[str, dict[str, str]] = record.kept("full_disk").get("commands", {})
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk(Path(folder))
        try:
            make_inputs(disk)
            for name in arguments.only:
                command = COMMANDS[name]
                undisturbed = with_room(disk, command, Path(folder) / "copy")
                found[name] = {
                    f"{share:.0%}": try_once(disk, command, undisturbed, share) for share in SHARES
                }
                print(name, found[name], flush=True)
                keep(found)
        finally:
            subprocess.run(["umount", disk.out], check=True)
    wrong = {fault for name in arguments.only for fault in found[name].values()}
    if wrong - {"right", "it needed less"}:
        sys.exit(1)


if __name__ == "__main__":
    main()
