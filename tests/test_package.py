"""What is installed is all that there is."""

from __future__ import annotations

import tomllib
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
