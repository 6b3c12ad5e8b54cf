"""The examples on the pages run, and the commands and links there exist."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import DATA, blobs

from cvae_edge.cli import COMMANDS, KITS, app
from cvae_edge.images import write_image
from cvae_edge.runtime.engines import ENGINES
from cvae_edge.runtime.monitoring import fit_bundle

ROOT = Path(__file__).parents[1]
PAGES = tuple(
    str(page.relative_to(ROOT))
    for pattern in ("*.md", "cvae_edge/**/*.md", "export/*.md", "benchmarks/*.md")
    for page in sorted(ROOT.glob(pattern))
)
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"(?:`|^(?:    )?|&& )(cvae-edge [^`\n&]+)", re.MULTILINE)

pytestmark = pytest.mark.skipif(
    not (ROOT / "README.md").exists(), reason="only a checkout has docs"
)


def blocks(page: str, language: str) -> list[str]:
    return [code for name, code in _FENCED.findall((ROOT / page).read_text()) if name == language]


def monitored() -> dict[str, Any]:
    shutil.copytree(DATA / "tiny", "export/tiles")
    fit_bundle(Path("export/tiles"), blobs(60), false_alarms=0.05)
    return {"images": blobs(3, seed=1)}


def on_a_pi() -> dict[str, Any]:
    shutil.copytree(DATA / "tiny", "mnist")
    return {}


def trained_elsewhere() -> dict[str, Any]:
    keras = pytest.importorskip("keras")
    Path("photos").mkdir()
    for i, image in enumerate(blobs(130)):
        write_image(Path("photos") / f"{i}.png", image)
    layers = keras.layers
    x, z = keras.Input((8, 8, 1)), keras.Input((3,))
    features = layers.Dense(8, "relu")(layers.Flatten()(x))
    encoder = keras.Model(x, [layers.Dense(3)(features), layers.Dense(3)(features)])
    decoder = keras.Model(z, layers.Reshape((8, 8, 1))(layers.Dense(64)(z)))
    return {"encoder": encoder, "decoder": decoder}


def with_tensorflow() -> dict[str, Any]:
    pytest.importorskip("keras")
    return {}


# What a page's examples begin with, where that is more than nothing.
PREPARED = {
    "cvae_edge/monitor/README.md": monitored,
    "export/raspberry_pi.md": on_a_pi,
    "cvae_edge/training/README.md": trained_elsewhere,
    "cvae_edge/ARCHITECTURE.md": with_tensorflow,
}


@pytest.fixture
def tables() -> Iterator[None]:
    """Undo what an example adds to the package's tables."""
    changed: list[dict[str, Any]] = [ENGINES]
    if importlib.util.find_spec("keras") is not None:
        from cvae_edge.architectures.presets import PRESETS

        changed.append(PRESETS)
    before = [dict(table) for table in changed]
    yield
    for table, entries in zip(changed, before, strict=True):
        table.clear()
        table.update(entries)


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_examples_of_a_page_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = PREPARED[page]() if page in PREPARED else {}
    for code in blocks(page, "python"):
        if ">>>" in code:
            test = doctest.DocTestParser().get_doctest(code, names, page, page, 0)
            assert doctest.DocTestRunner().run(test).failed == 0
        else:
            exec(compile(code, page, "exec"), names)


def test_the_examples_are_found() -> None:
    found = [code for page in PAGES for code in blocks(page, "python")]
    assert any("EdgeCVAE.load" in code for code in found)
    assert any("export_bundle" in code for code in found)


def check_command(words: list[str]) -> None:
    """Fail unless a command and its options exist."""
    command: Any = typer.main.get_command(app)
    arguments = iter(words[1:])
    for word in arguments:
        if hasattr(command, "commands") and not word.startswith("-"):
            assert word in command.commands, f"no command {word}"
            command = command.commands[word]
        elif word.startswith("-"):
            known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
            assert word in known | {"--help"}, f"{command.name} has no option {word}"


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_on_a_page_exist(page: str) -> None:
    for line in _COMMAND.findall((ROOT / page).read_text()):
        words = shlex.split(line, comments=True)
        check_command([word for word in words if word not in ("...",)])


def test_the_examples_of_help_exist() -> None:
    for examples in (*COMMANDS.values(), KITS):
        for command, example in examples.items():
            assert command.__name__.rstrip("_") in example.split()
            check_command(example.split())


@pytest.mark.parametrize(
    "line", ["cvae-edge trian", "cvae-edge train --dta x", "cvae-edge kit wab --out x"]
)
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    with pytest.raises(AssertionError, match="no command|no option"):
        check_command(line.split())


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = (ROOT / page).parent / path if path else ROOT / page
        assert linked.exists(), f"{page} links to {target}"
        if anchor:
            heads = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            assert anchor in {head.lower().replace(" ", "-") for head in heads}, target


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
