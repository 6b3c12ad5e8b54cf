"""Results of two machines never meet: not in a folder, and not in a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cvae_edge import machine

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks").is_dir(), reason="only a checkout has benchmarks"
)
CPU = {
    "zen 3": "model name: AMD EPYC\ncpu family: 25\nmodel: 1\nflags: fpu avx2\n",
    "zen 4": "model name: AMD EPYC\ncpu family: 25\nmodel: 17\nflags: fpu avx2\n",
    "zen 4, VNNI": "model name: AMD EPYC\ncpu family: 25\nmodel: 17\nflags: avx2 avx512_vnni\n",
    "A72": "CPU implementer: 0x41\nCPU part: 0xd08\nFeatures: fp asimd\n",
    "A76": "CPU implementer: 0x41\nCPU part: 0xd0b\nFeatures: fp asimd asimddp\n",
}


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import record

    monkeypatch.setattr(record, "RESULTS", tmp_path)
    return record


def test_machines_that_differ_in_speed_have_folders_of_their_own(
    record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = set()
    for cores in (2, 4):
        monkeypatch.setattr(record, "available_cores", lambda cores=cores: cores)
        for name, text in CPU.items():
            file = tmp_path / name
            file.write_text(text)
            monkeypatch.setattr(machine, "_CPU_INFO", file)
            folders.add(record.folder().name)
    assert len(folders) == 2 * len(CPU)
    assert any("model-17-avx2-avx512-vnni-2-cores" in name for name in folders)


def test_a_table_is_of_the_one_machine_with_the_newest_of_its_figures(
    record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import readme

    def keep(machine: str, part: str, date: str) -> None:
        (tmp_path / machine).mkdir(exist_ok=True)
        content = {"machine": {"name": machine}, "date": date}
        (tmp_path / machine / f"{part}.json").write_text(json.dumps(content))

    keep("a", "one", "2026-01-01")
    keep("b", "two", "2026-01-02")
    with pytest.raises(ValueError, match="no machine has the figures of one, two"):
        readme.results(["one", "two"])
    keep("a", "two", "2025-12-31")
    assert [p["machine"]["name"] for p in readme.results(["one", "two"])] == ["a", "a"]
    assert [p["machine"]["name"] for p in readme.results(["two"])] == ["b"]
