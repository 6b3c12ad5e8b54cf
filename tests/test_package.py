"""What is installed is all that there is."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_every_package_is_installed() -> None:
    if not (ROOT / "cvae_edge").is_dir():
        pytest.skip("only a checkout has the sources")
    fields = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(fields["tool"]["setuptools"]["packages"])
    folders = {path.parent for path in (ROOT / "cvae_edge").rglob("__init__.py")}
    there = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert there <= listed
    # The rest lies elsewhere in the checkout, and has no code.
    assert all(not (ROOT / name.replace(".", "/")).exists() for name in listed - there)


def test_what_is_installed_is_whole() -> None:
    if (ROOT / "cvae_edge").is_dir():
        pytest.skip("in a checkout the package is not the installed one")
    installed = {str(file) for file in metadata.files("cvae-edge") or []}
    for name in (
        "cvae_edge/py.typed",
        "cvae_edge/datasets/mnist.npz",
        "cvae_edge/reference/manifest.json",
        "cvae_edge/reference/decoder.int8.tflite",
        "cvae_edge/kits/sources/c/cvae_kernels.c",
        "cvae_edge/kits/sources/microcontroller/Makefile",
        "cvae_edge/kits/sources/web/index.html",
        "cvae_edge/kits/sources/web/cvae-edge/cvae-edge.js",
        "cvae_edge/kits/sources/web/page/main.js",
    ):
        assert name in installed
    roots = {name.partition("/")[0] for name in installed if not name.startswith("..")}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"cvae_edge"}
