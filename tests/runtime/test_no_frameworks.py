"""The device side imports no training framework, and nothing it does not need."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

FORBIDDEN = ("tensorflow", "keras", "tf2onnx", "onnx", "matplotlib", "typer", "rich")


def run(script: str, *arguments: object) -> str:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_every_method_runs_without_a_training_framework(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    loaded = run(
        """
        import sys
        import numpy as np
        import cvae_edge
        from cvae_edge import EdgeCVAE, Posterior
        model = EdgeCVAE.load(sys.argv[1], precision="auto")
        x = model.generate(40) > 0.5
        posterior = model.encode(x)
        posterior.sample(1), posterior.kl()
        model.decode(posterior.mean), model.reconstruct(x), model.interpolate(x[:1], x[1:2])
        model.score(x, samples=2), model.bounds(x), list(model.stream(40)), repr(model)
        print(" ".join(sys.modules))
        """,
        tiny,
    ).split()
    assert "onnxruntime" in loaded
    assert not {name.split(".")[0] for name in loaded} & set(FORBIDDEN)


def test_importing_the_package_imports_nothing_else():
    loaded = run("import sys, cvae_edge; cvae_edge.__version__; print(*sys.modules)").split()
    assert not {"numpy", "onnxruntime", "PIL", *FORBIDDEN} & set(loaded)


def test_generating_needs_no_images_no_data_and_no_training(tiny: Path):
    script = """
        import sys
        from cvae_edge import EdgeCVAE
        EdgeCVAE.load(sys.argv[1]).generate(1)
        print(*sys.modules)
        """
    loaded = run(script, tiny).split()
    spared = {"PIL", "cvae_edge.datasets", "cvae_edge.config", "concurrent.futures", *FORBIDDEN}
    assert not spared & set(loaded)


def test_commands_run_without_a_training_framework(tiny: Path, tmp_path: Path):
    loaded = run(
        """
        import sys
        from cvae_edge.cli import main
        bundle, folder = sys.argv[1:]
        commands = [
            ["generate", bundle, "-n", "3", "--out", f"{folder}/a"],
            ["encode", f"{folder}/a", "--bundle", bundle, "--out", f"{folder}/z.npz"],
            ["decode", f"{folder}/z.npz", "--bundle", bundle, "--out", f"{folder}/b.png"],
            ["reconstruct", f"{folder}/a", "--bundle", bundle, "--out", f"{folder}/c.png"],
            ["score", f"{folder}/a", "--bundle", bundle, "--out", f"{folder}/s.csv"],
        ]
        for command in commands:
            sys.argv = ["cvae-edge", *command]
            try:
                main()
            except SystemExit as end:
                assert not end.code, command
        print(*sys.modules)
        """,
        tiny,
        tmp_path,
    ).split()
    assert not {name.split(".")[0] for name in loaded} & (set(FORBIDDEN) - {"typer", "rich"})
    assert (tmp_path / "c.png").exists()


def test_an_unknown_attribute_is_an_attribute_error():
    script = "import cvae_edge\ntry: cvae_edge.nothing\nexcept AttributeError as e: print(e)"
    assert "nothing" in run(script)
