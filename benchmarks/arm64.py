"""The device side in an arm64 userland: every file against its golden values, and the device tests.

    python benchmarks/arm64.py USERLAND [BUNDLE ...] [--tests PATH ...] [--tests-only]

USERLAND is a folder for a Debian of arm64, made where it is missing; qemu-user runs its programs.
The base install with LiteRT, without TensorFlow, goes into an environment in it, from wheels for
aarch64; then `cvae-edge verify` runs on the model that ships and on each BUNDLE, and the tests at
each PATH, by default all that need no TensorFlow; with --tests-only they run in the environment
that is there, and other figures are kept. Needs root and, on Debian: apt install mmdebstrap
arch-test qemu-user-static. Results go to benchmarks/results/MACHINE/arm64.json and .md, where
MACHINE is the one that emulates.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import record

ROOT = Path(__file__).parents[1]
BINFMT = Path("/proc/sys/fs/binfmt_misc")
QEMU = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")  # of qemu-user-static
SOURCES = Path("/etc/apt/sources.list.d/debian.sources")  # this machine's, where it has them
DEBIAN = "bookworm"  # whose Python is 3.11
WHEELS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
TESTERS = ("pytest", "hypothesis", "scipy")
PATH = "/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"}
# In a mount namespace of its own, so that nothing stays mounted. There is no /sys: it would have
# this machine's processors, and onnxruntime, which looks for Arm's there, crashes.
CHROOT = 'mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" && exec chroot "$0" "$@"'


def register() -> None:
    """Have the kernel give programs of arm64 to qemu, in every root folder."""
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], check=True)
    if not (BINFMT / "qemu-aarch64").exists():
        (BINFMT / "register").write_text(QEMU.read_text())


def make_userland(folder: Path) -> None:
    if not (folder / "usr/bin/python3").exists():
        command = ["mmdebstrap", "--arch=arm64", "--variant=minbase", "--include=python3-venv"]
        command += [DEBIAN, str(folder), *([str(SOURCES)] if SOURCES.exists() else [])]
        subprocess.run(command, check=True)


def inside(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the userland."""
    words = ["unshare", "--mount", "sh", "-c", CHROOT, folder, "/bin/sh", "-c", command]
    return subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT)


def shown(folder: Path, command: str) -> str:
    """Return what a command prints, or end with what it says of an error."""
    done = inside(folder, command)
    return done.stdout if done.returncode == 0 else sys.exit(done.stdout + done.stderr)


def install(folder: Path) -> list[str]:
    """Make the environment anew; return what is in it."""
    wheels = folder / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, ROOT], check=True)
    (own,) = wheels.glob("cvae_edge-*.whl")
    options = ["--only-binary", ":all:", "--python-version", "3.11", "--dest", str(wheels)]
    options += [word for wheel in WHEELS for word in ("--platform", wheel)]
    subprocess.run([*pip, "download", *options, f"{own}[litert]", *TESTERS], check=True)
    wanted = f"'cvae-edge[litert]' {' '.join(TESTERS)}"
    quick = "--quiet --no-compile --no-index --find-links /wheels"
    shown(folder, f"rm -rf /venv && python3 -m venv /venv && pip install {quick} {wanted}")
    return shown(folder, "pip freeze").split()


def verified(folder: Path, bundle: Path) -> list[dict[str, Any]]:
    """Return what verify says of each file of a bundle."""
    place = folder / "bundle"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(bundle, place)
    said = inside(folder, "cvae-edge verify --json /bundle")
    if not said.stdout:
        sys.exit(said.stderr)
    return list(json.loads(said.stdout))


def tested(folder: Path, path: str) -> dict[str, Any]:
    """Return how the tests end, in a copy without the package: what runs is what is installed."""
    place = folder / "checkout"
    shutil.rmtree(place, ignore_errors=True)
    left_out = shutil.ignore_patterns("node_modules", "__pycache__")
    shutil.copytree(ROOT / "tests", place / "tests", ignore=left_out)
    shutil.copy(ROOT / "pyproject.toml", place)
    done = inside(folder, f"cd /checkout && pytest -q {path}")
    lines = done.stdout.strip().splitlines() or [done.stderr]
    print(*lines[-40:], sep="\n", flush=True)
    counts = re.findall(r"(\d+) (passed|failed|skipped|error)", lines[-1])
    wrong = [line.split()[1] for line in lines if line.startswith(("FAILED", "ERROR"))]
    if not counts:  # it crashed
        wrong.append(f"exit status {done.returncode}")
    return {"counts": {word: int(count) for count, word in counts}, "wrong": wrong}


def report(figures: dict[str, Any]) -> str:
    text = f"Debian {DEBIAN} for arm64 under {figures['emulator']}: {figures['system']}. "
    text += f"{', '.join(figures['packages'])}.\n\n"
    rows = [
        [name, check["file"], check["status"], check["message"]]
        for name, checks in figures["verified"].items()
        for check in checks
    ]
    text += record.markdown_table(("bundle", "file", "verify", "difference, tolerance"), rows)
    for path, found in figures["tested"].items():
        counts = ", ".join(f"{n} {word}" for word, n in found["counts"].items()) or "crashed"
        wrong = f" ({', '.join(found['wrong'])})" if found["wrong"] else ""
        text += f"\n`pytest {path}`: {counts}{wrong}.\n"
    return text


def prepared(folder: Path, bundles: list[Path]) -> dict[str, Any]:
    """Make what is needed, and verify the bundles."""
    make_userland(folder)
    version = subprocess.run(["qemu-aarch64-static", "--version"], capture_output=True, text=True)
    packages = install(folder)
    return {
        "emulator": version.stdout.split(" (")[0],
        "system": shown(folder, "uname -m; python --version").strip().replace("\n", ", "),
        "packages": [p for p in packages if p.startswith(("numpy", "onnxruntime", "ai-edge"))],
        "verified": {b.resolve().name: verified(folder, b) for b in bundles},
        "tested": {},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("userland", type=Path)
    parser.add_argument("bundles", type=Path, nargs="*")
    parser.add_argument("--tests", nargs="+", default=["tests"], metavar="PATH")
    parser.add_argument("--tests-only", action="store_true")
    options = parser.parse_args()
    folder = options.userland.resolve()
    register()
    if options.tests_only:
        kept = record.kept("arm64")
        figures = {k: v for k, v in kept.items() if k not in ("date", "machine")}
    else:
        figures = prepared(folder, [ROOT / "export" / "reference", *options.bundles])
    record.write("arm64", figures, "On an emulated arm64", report(figures))
    for path in options.tests:
        figures["tested"][path] = tested(folder, path)
        record.write("arm64", figures, "On an emulated arm64", report(figures))


if __name__ == "__main__":
    main()
