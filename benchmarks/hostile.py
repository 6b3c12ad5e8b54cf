"""Damaged and hostile files: is each refused in one sentence, in bounded time and memory?

    python benchmarks/hostile.py [--tries 600] [--bytes 300] [--only bytes manifest zip ...]

First every file of the reference bundle, the manifest included, is damaged at one byte, ``--bytes``
times each: a reader must refuse all of them. Then files of five kinds are damaged or forged,
``--tries`` times each, with their hashes set right where they have some: manifests, zips of
bundles, arrays, IDX files, and the files of a run folder. Each is given to a command in a process
of its own. It must end with 0, where the damage does no harm, or with 2 and one sentence, after at
most 10 s of computing, and take no more than 1 GB beyond what the process began with. What does its
work to the end may compute for 60 s.
With --only, the figures of the others are kept.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import forks
import numpy as np
import record

from cvae_edge.bundle import Bundle
from cvae_edge.cli import main as run_cvae_edge
from cvae_edge.errors import BundleError
from cvae_edge.manifest import MANIFEST, digest
from cvae_edge.runtime.source import open_bundle

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS / "runtime"))  # of TESTS itself, benchmarks/runtime.py comes first

from fuzz_models import damage  # noqa: E402

REFERENCE = Path(__file__).parents[1] / "export" / "reference"
TINY = TESTS / "data" / "tiny"
SECONDS, MEGABYTES = 10, 1000
# What a forger writes into a field.
ODD = (
    None, True, 0, -1, 2**70, 1e308, float("nan"), int("9" * 400), "", "../x", "/etc/passwd",
    "\ud800", "\x1b[2J", "decoder.onnx", [], {}, [[]] * 3, "9" * 5000,
)  # fmt: skip


class Attack(NamedTuple):
    """A command and the file that it is given; PLACE is a folder of its own."""

    words: tuple[str, ...]
    file: str
    content: bytes
    copied: Path | None = None  # into PLACE/copy before


def forge(document: Any, rng: random.Random) -> None:
    """Put something odd in the place of one value of a JSON document, however deep."""
    while True:
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        key = rng.choice(keys)
        value = document[key]
        if isinstance(value, dict | list) and value and rng.random() < 0.8:
            document = value
            continue
        document[key] = rng.choice(ODD)
        return


def forged_json(content: bytes, rng: random.Random) -> bytes:
    document = json.loads(content)
    for _ in range(rng.choice((1, 1, 2))):
        forge(document, rng)
    return json.dumps(document).encode()


def manifest(rng: random.Random) -> Attack:
    content = (TINY / MANIFEST).read_bytes()
    if rng.random() < 0.2:
        content = damage(content, rng)
    else:
        content = forged_json(content, rng)
        document = json.loads(content)
        content = json.dumps({**document, "digest": digest(document)}).encode()
    verb = rng.choice(("inspect", "generate", "verify"))
    out = ("--out", "PLACE/a.png") if verb == "generate" else ()
    return Attack((verb, "PLACE/copy", *out), f"copy/{MANIFEST}", content, TINY)


def zipped(rng: random.Random) -> Attack:
    buffer = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for path in sorted(TINY.iterdir()):
            archive.writestr(path.name, path.read_bytes())
        if rng.random() < 0.2:
            archive.writestr("bomb.npz", bytes(300 << 20))
    words = ("generate", "PLACE/bundle.zip", "--out", "PLACE/a.png")
    return Attack(words, "bundle.zip", damage(buffer.getvalue(), rng))


def array(rng: random.Random) -> Attack:
    buffer = io.BytesIO()
    x = np.linspace(0, 1, 128, dtype=np.float32).reshape(2, 8, 8, 1)
    save = rng.choice((np.save, np.savez, np.savez_compressed))
    save(buffer, x)
    content = buffer.getvalue()
    if rng.random() < 0.3:  # a shape that promises more than there is
        shape = rng.choice(("(9999999999,)", "(2, 80, 80, 99999)", "(-1, 8, 8, 1)", "(1e9, 8)"))
        content = content.replace(b"(2, 8, 8, 1)", shape.encode().ljust(12))
    suffix = "npy" if save is np.save else "npz"
    words = (rng.choice(("score", "encode")), f"PLACE/x.{suffix}", "-b", str(TINY))
    return Attack((*words, "--out", "PLACE/out.csv"), f"x.{suffix}", damage(content, rng))


def idx(rng: random.Random) -> Attack:
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8).tobytes()
    dimensions = rng.choice(((60, 8, 8), (60, 8, 8), (2**31, 8, 8), (60,) * 100, (0, 0, 0)))
    header = bytes((0, 0, 8, len(dimensions))) + np.array(dimensions, ">u4").tobytes()
    content = header + images
    if rng.random() < 0.5:
        content = damage(content, rng)
    name = "train-images-idx3-ubyte"
    if rng.random() < 0.5:
        content, name = gzip.compress(content), f"{name}.gz"
        if rng.random() < 0.5:
            content = damage(content, rng)
    small = ("--epochs", "1", "--latent-dim", "2", "--width", "0.1", "--validation", "0")
    words = ("train", "--data", "PLACE/idx", *small, "--out", "PLACE/run")
    return Attack(words, f"idx/{name}", content)


def run_file(run: Path) -> Callable[[random.Random], Attack]:
    files = [path for path in sorted(run.rglob("*")) if path.is_file() and path.stat().st_size]
    files = [path for path in files if path.suffix != ".png" and path.name != "run.lock"]

    def attack(rng: random.Random) -> Attack:
        path = rng.choice(files)
        content = path.read_bytes()
        forges = path.suffix == ".json" and rng.random() < 0.7
        content = forged_json(content, rng) if forges else damage(content, rng)
        words = rng.choice(
            (
                ("evaluate", "PLACE/copy"),
                ("train", "--resume", "--epochs", "4", "--out", "PLACE/copy"),
            )
        )
        return Attack(words, f"copy/{path.relative_to(run)}", content, run)

    return attack


def attempt(attack: Attack, place: Path) -> tuple[str, float, float]:
    """Return what came of an attack, how many seconds it took, and how many megabytes."""
    scratch = place / "scratch"
    shutil.rmtree(place, ignore_errors=True)
    scratch.mkdir(parents=True)
    if attack.copied:
        shutil.copytree(attack.copied, place / "copy")
    path = place / attack.file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(attack.content)
    said = place / "said"

    def work() -> None:
        with said.open("wb") as file:
            os.dup2(file.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv = ["cvae-edge", *(w.replace("PLACE", str(place)) for w in attack.words)]
        (place / "before").write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))  # for what would not end
        run_cvae_edge()

    _, status, used = os.wait4(forks.start(work, scratch), 0)
    code = os.waitstatus_to_exitcode(status)
    seconds = used.ru_utime + used.ru_stime
    megabytes = (used.ru_maxrss - int((place / "before").read_text())) / 1000
    text = said.read_text(errors="replace")
    errors = [line for line in text.splitlines() if line.startswith("cvae-edge: ")]
    # Warnings may stand above the error.
    refused = code == 2 and "Traceback" not in text and len(errors) >= 1
    if seconds > SECONDS and code:
        return f"took {seconds:.0f} s", seconds, megabytes
    if megabytes > MEGABYTES:
        return f"took {megabytes:.0f} MB", seconds, megabytes
    if refused or code == 0:
        return "refused" if code else "harmless", seconds, megabytes
    return f"exit {code}: {text[-200:]!r}", seconds, megabytes


def flipped(tries: int, rng: random.Random) -> dict[str, int]:
    """Damage each file of the reference bundle at one byte; count those that a reader refused."""
    files = {path.name: path.read_bytes() for path in REFERENCE.iterdir()}
    refused: Counter[str] = Counter()
    for name, content in files.items():
        for _ in range(tries):
            damaged = bytearray(content)
            damaged[rng.randrange(len(damaged))] ^= rng.randrange(1, 256)
            try:
                read_all(open_bundle({**files, name: bytes(damaged)}))
            except BundleError:
                refused[name] += 1
    return {name: refused[name] for name in sorted(files)}


def read_all(bundle: Bundle) -> None:
    for entry in (*bundle.manifest.artifacts, *bundle.manifest.files):
        bundle.read(entry)


def measure(make: Callable[[random.Random], Attack], place: Path, tries: int) -> dict[str, Any]:
    """Make attacks of one kind; return what came of them, and the most that one took."""
    rng, found = random.Random(0), Counter[str]()
    slowest = largest = 0.0
    for _ in range(tries):
        what, seconds, megabytes = attempt(make(rng), place)
        found[what] += 1
        slowest, largest = max(slowest, seconds), max(largest, megabytes)
    return {
        "tries": tries, "found": dict(found), "slowest_s": round(slowest, 2),
        "largest_mb": round(largest),
    }  # fmt: skip


def keep(figures: dict[str, Any]) -> None:
    rows = [
        (name, f["tries"], "; ".join(f"{what}: {n}" for what, n in f["found"].items()),
         f["slowest_s"], f["largest_mb"])
        for name, f in figures["kinds"].items()
    ]  # fmt: skip
    columns = ("kind", "tries", "found", "slowest, s", "largest, MB")
    text = record.markdown_table(columns, rows)
    if "refused" in figures:
        counts = ", ".join(f"{name} {n}" for name, n in figures["refused"].items())
        text += f"\nOne byte of a file changed, {figures['bytes']} times each: refused {counts}.\n"
    record.write("hostile", figures, "Damaged and hostile files", text)


def main() -> None:
    names = ("bytes", "manifest", "zip", "array", "IDX", "run folder")
    parser = argparse.ArgumentParser()
    parser.add_argument("--tries", type=int, default=600)
    parser.add_argument("--bytes", type=int, default=300)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    arguments = parser.parse_args()
    figures = {"kinds": {}, **record.kept("hostile")}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        config, run = forks.tiny_config(place), place / "run"

        def make_run() -> None:
            from cvae_edge.training.launch import train

            train(run, config)

        if forks.finish(forks.start(make_run, place)):
            sys.exit("the run could not be made")
        kinds = {
            "manifest": manifest, "zip": zipped, "array": array, "IDX": idx,
            "run folder": run_file(run),
        }  # fmt: skip
        for name in arguments.only:
            if name == "bytes":
                refused = flipped(arguments.bytes, random.Random(0))
                figures |= {"bytes": arguments.bytes, "refused": refused}
            else:
                figures["kinds"][name] = measure(kinds[name], place / "attack", arguments.tries)
            keep(figures)
    faults = {what for f in figures["kinds"].values() for what in f["found"]}
    missed = set(figures.get("refused", {}).values()) - {figures.get("bytes")}
    if faults - {"refused", "harmless"} or missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
