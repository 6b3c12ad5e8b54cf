"""The README's figures are those of the kept results."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks").is_dir(), reason="only a checkout has benchmarks"
)


def rebuild(root: Path) -> str:
    """Run ``python -m benchmarks --readme`` in ``root`` and return what the README is then."""
    subprocess.run([sys.executable, "-m", "benchmarks", "--readme"], cwd=root, check=True)
    return (root / "README.md").read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def test_the_readme_states_what_the_kept_results_give(checkout: Path) -> None:
    assert rebuild(checkout) == (ROOT / "README.md").read_text()


def test_a_figure_that_was_changed_by_hand_is_put_right(checkout: Path) -> None:
    readme = checkout / "README.md"
    right = readme.read_text()
    wrong = right.replace("| float32 | 0.000 |", "| float32 | -1.000 |", 1)
    assert wrong != right
    readme.write_text(wrong)
    assert rebuild(checkout) == right
