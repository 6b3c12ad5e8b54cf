"""The figures on the pages are those of the kept results."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks").is_dir(), reason="only a checkout has benchmarks"
)


PAGES = ("README.md", "benchmarks/README.md")


def rebuild(root: Path) -> dict[str, str]:
    """Run ``python -m benchmarks --readme`` in ``root`` and return what the pages are then."""
    subprocess.run([sys.executable, "-m", "benchmarks", "--readme"], cwd=root, check=True)
    return {page: (root / page).read_text() for page in PAGES}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def test_the_pages_state_what_the_kept_results_give(checkout: Path) -> None:
    assert rebuild(checkout) == {page: (ROOT / page).read_text() for page in PAGES}


@pytest.mark.parametrize("page", PAGES)
def test_a_figure_that_was_changed_by_hand_is_put_right(checkout: Path, page: str) -> None:
    right = (checkout / page).read_text()
    figures = re.search(r"<!-- figures:\w+ -->\n.*?[1-9]", right, re.DOTALL)
    assert figures is not None
    (checkout / page).write_text(f"{right[: figures.end() - 1]}0{right[figures.end() :]}")
    assert rebuild(checkout)[page] == right
