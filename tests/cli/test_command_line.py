"""What holds for the command line as a whole."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cvae_edge.cli.output import print_table

TINY = Path(__file__).parents[1] / "data" / "tiny"
HEAVY = ("numpy", "onnxruntime", "tensorflow", "keras", "onnx", "matplotlib", "PIL", "rich.table")


def test_help_imports_nothing_heavy():
    script = (
        "import sys; sys.argv = ['cvae-edge', '--help']\n"
        "from cvae_edge.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules and m != 'rich.table'])\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "[]"
    assert "quickstart" in result.stdout


def test_version(run_cli):
    assert run_cli("--version").out == "cvae-edge 0.1.0\n"


def test_doctor_reports_versions_and_the_machine_as_json(run_cli):
    report = json.loads(run_cli("doctor", "--json").out)
    assert report["versions"]["cvae-edge"] == "0.1.0"
    assert report["packages"]["numpy (run bundles)"]
    assert "onnxruntime (run onnx files in onnxruntime)" in report["packages"]
    assert "cpu" in report["machine"]["providers"]
    assert report["machine"]["cores"] >= 1


def test_doctor_names_a_folder_that_cannot_be_written(run_cli, tmp_path, monkeypatch):
    import os

    monkeypatch.chdir(tmp_path)
    (tmp_path / "export").mkdir()
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: "export" not in str(path) and real(path, mode)
    )
    folders = json.loads(run_cli("doctor", "--json").out)["folders"]
    assert folders == {
        f"runs ({tmp_path / 'runs'})": True,
        f"export ({tmp_path / 'export'})": False,
    }


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_a_folder_that_is_no_bundle_is_one_sentence_and_exit_2(run_cli, tmp_path, command):
    result = run_cli(command, tmp_path)
    assert result.code == 2
    assert result.err == (
        f"cvae-edge: {tmp_path} is no bundle: it has no manifest.json; cvae-edge export makes one\n"
    )


def test_square_brackets_reach_the_terminal(capsys):
    print_table("runs/[a]", ["file", "hint"], [("x", "pip install 'cvae-edge[litert]'")])
    out = capsys.readouterr().out
    assert "runs/[a]" in out
    assert "cvae-edge[litert]" in out


@pytest.mark.parametrize(
    ("raised", "code"),
    [(RuntimeError("a bug"), 2), (KeyboardInterrupt(), 130), (MemoryError(), 2)],
)
def test_no_error_exits_with_1_which_means_an_anomaly(run_cli, monkeypatch, raised, code):
    from cvae_edge.runtime.model import EdgeCVAE

    def fail(*_, **__):
        raise raised

    monkeypatch.setattr(EdgeCVAE, "load", fail)
    result = run_cli("score", "a.png")
    assert result.code == code
    assert ("a bug" in result.err) == isinstance(raised, RuntimeError)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", [(), ("-u",)])
@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", TINY, "-n", "3000", "--out", "-"),
        ("score", TINY / "samples.png", "-b", TINY, "--resize"),
        ("inspect", TINY),
    ],
)
def test_standard_output_that_is_full_or_closed_is_exit_2(arguments, unbuffered):
    command = [sys.executable, *unbuffered, "-m", "cvae_edge", *arguments]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(command, stdout=full, stderr=-1, text=True, env=env)
    assert (result.returncode, result.stderr) == (2, "cvae-edge: No space left on device\n")
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(command, stdout=write, stderr=-1, text=True, env=env)
    os.close(write)
    assert result.returncode == 2
    assert result.stderr == "cvae-edge: standard output was closed before all was written\n"


ABOUT_BUNDLES = (
    ("generate",), ("verify",), ("inspect",), ("benchmark",), ("evaluate",), ("kit", "web"),
    ("kit", "microcontroller"), ("monitor", "--report", "scores.csv"),
)  # fmt: skip
OF_IMAGES = ("encode", "decode", "reconstruct", "score", "interpolate")


@pytest.mark.parametrize("command", ABOUT_BUNDLES, ids=" ".join)
def test_a_bundle_is_the_argument_or_follows_b_and_never_both(
    run_cli, tmp_path, monkeypatch, command
):
    monkeypatch.chdir(tmp_path)
    Path("scores.csv").write_text("score,anomalous\n0.5,False\n")
    Path("nothing").mkdir()
    Path("nothing", "manifest.json").write_text("{}")
    got = [run_cli(*command, *given) for given in (("nothing",), ("-b", "nothing"))]
    assert got[0] == got[1]
    assert got[0].code == 2
    assert "nothing" in got[0].err
    both = run_cli(*command, "nothing", "--bundle", TINY)
    assert both.code == 2
    assert both.err == (
        f"cvae-edge: give the bundle once: as an argument or with -b, got nothing and {TINY}\n"
    )


def test_every_command_that_reads_a_bundle_takes_it_after_b(run_cli):
    for command in (*ABOUT_BUNDLES, *((verb,) for verb in OF_IMAGES)):
        words = [word for word in command if word not in ("--report", "scores.csv")]
        assert "--bundle" in run_cli(*words, "--help").out, command
