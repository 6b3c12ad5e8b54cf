"""A microcontroller project: it checks itself here and on emulated devices; bad input is named."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cvae_edge.bundle import Bundle, write_manifest
from cvae_edge.c.files import files_of_c
from cvae_edge.kits.microcontroller import CODE_BYTES

TINY = Path(__file__).parents[1] / "data" / "tiny"
NEEDED = {
    "check": ("make", "cc"),
    "run": ("make", "arm-none-eabi-gcc", "qemu-system-arm"),
}


def need(what: str) -> None:
    missing = [name for name in NEEDED[what] if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")


def make(folder: Path, *words: str) -> str:
    command = ["make", "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def kit(tmp_path: Path, run_cli) -> Path:
    made = run_cli("kit", "microcontroller", TINY, "--out", tmp_path / "kit")
    assert made.code == 0, made.err
    assert "bytes of flash" in made.out
    return tmp_path / "kit"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "bundle"))


def without(bundle: Path, *precisions: str) -> Path:
    manifest = Bundle.open(bundle).manifest
    kept = tuple(a for a in manifest.artifacts if a.precision not in precisions)
    write_manifest(bundle, manifest._replace(artifacts=kept))
    return bundle


def test_it_checks_itself_on_this_machine(kit: Path) -> None:
    need("check")
    shown = make(kit, "check")
    assert "noise: 0 of 4 values differ" in shown
    assert "encoder: 0 of 64 integers differ" in shown
    assert "decoder: 0 of 512 integers differ" in shown


def test_a_changed_weight_is_found(kit: Path) -> None:
    need("check")
    source = kit / "cvae_model.c"
    text = source.read_text()
    changed = re.sub(
        r"(decoder_1_weights\[\d+\] = \{\n\s+)(-?\d+)", lambda m: f"{m[1]}{-int(m[2]) or 9}", text
    )
    assert changed != text
    source.write_text(changed)
    failed = subprocess.run(["make", "-C", kit, "check"], capture_output=True, text=True)
    assert failed.returncode != 0
    assert re.search("decoder: [1-9][0-9]* of 512 integers differ", failed.stdout)


@pytest.mark.parametrize("cpu", ["cortex-m3", "cortex-m4", "cortex-m7"])
def test_it_runs_on_an_emulated_device(kit: Path, cpu: str) -> None:
    need("run")
    shown = make(kit, "run", f"CPU={cpu}")
    assert "encoder: 0 of 64 integers differ" in shown
    assert "decoder: 0 of 512 integers differ" in shown
    picture = [
        line for line in shown.splitlines() if len(line) == 16 and set(line) <= {*" .:-=+*#%@"}
    ]
    assert len(picture) == 8
    assert re.search(r"score: -\d+\.\d\d nats", shown)


def test_a_program_in_cpp_can_use_it(kit: Path) -> None:
    if shutil.which("g++") is None or shutil.which("gcc") is None:
        pytest.skip("g++ is not installed")
    (kit / "main.cpp").write_text(
        '#include "cvae_noise.h"\n#include "cvae_sample.h"\nstatic uint8_t pixels[CVAE_PIXELS];\n'
        "int main() { cvae_generate(0, 0, pixels); return cvae_decoder_z.count != 4; }\n"
    )
    parts = [f"cvae_{name}.c" for name in ("model", "kernels", "noise", "sample")]
    subprocess.run(["gcc", "-std=c99", "-c", *parts], cwd=kit, check=True)
    objects = [Path(part).with_suffix(".o").name for part in parts]
    command = ["g++", "-Wall", "-Wextra", "-Werror", "main.cpp", *objects, "-o", "main"]
    subprocess.run(command, cwd=kit, check=True)
    subprocess.run(["./main"], cwd=kit, check=True)


def test_its_readme_says_what_the_model_takes(kit: Path) -> None:
    text = (kit / "README.md").read_text()
    arena = re.search("CVAE_ARENA_BYTES (\\d+)", (kit / "cvae_model.h").read_text())
    assert arena
    assert f"outputs | {int(arena[1]):,} |" in text
    assert "decoder.int8.tflite, " in text
    assert "CONCATENATION, CONV_2D, DEPTH_TO_SPACE" in text
    assert "$" not in text
    array = (kit / "tflite_micro" / "decoder_int8_tflite.c").read_text()
    numbers = bytes(int(v) for v in re.findall(r"\d+(?=,)", array))
    assert numbers == (TINY / "decoder.int8.tflite").read_bytes()


def test_a_kit_is_replaced_and_nothing_else_is(kit: Path, tmp_path: Path, run_cli) -> None:
    (kit / "old.txt").touch()
    assert run_cli("kit", "microcontroller", TINY, "--out", kit).code == 0
    assert not (kit / "old.txt").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").touch()
    refused = run_cli("kit", "microcontroller", TINY, "--out", mine)
    assert refused.code == 2
    assert "exists and is no microcontroller kit" in refused.err
    assert [f.name for f in mine.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("option", "bytes"), [("--flash", CODE_BYTES), ("--ram", 2048), ("--ram", 0)]
)
def test_a_device_that_is_too_small_is_refused_by_name(
    option: str, bytes: int, tmp_path: Path, run_cli
) -> None:
    refused = run_cli("kit", "microcontroller", TINY, "--out", tmp_path / "kit", option, bytes)
    assert refused.code == 2
    assert option in refused.err
    assert f"got {bytes:,}" in refused.err
    assert len(refused.err.splitlines()) == 1
    assert not (tmp_path / "kit").exists()
    enough = run_cli("kit", "microcontroller", TINY, "--out", tmp_path / "kit", option, 1 << 20)
    assert enough.code == 0


def test_a_bundle_without_int8_files_is_refused(bundle: Path, tmp_path: Path, run_cli) -> None:
    folder = without(bundle, "int8")
    refused = run_cli("kit", "microcontroller", folder, "--out", tmp_path / "kit")
    assert refused.code == 2
    assert "takes int8 TFLite files" in refused.err
    assert "decoder.dynamic_range.tflite" in refused.err
    assert not (tmp_path / "kit").exists()


def test_a_hybrid_file_that_says_it_is_int8_is_refused(
    bundle: Path, tmp_path: Path, run_cli
) -> None:
    manifest = Bundle.open(without(bundle, "int8")).manifest
    renamed = tuple(
        a._replace(precision="int8") if a.precision == "dynamic_range" else a
        for a in manifest.artifacts
    )
    write_manifest(bundle, manifest._replace(artifacts=renamed))
    refused = run_cli("kit", "microcontroller", bundle, "--out", tmp_path / "kit")
    assert refused.code == 2
    assert "cannot be made into C" in refused.err
    assert "hybrid" in refused.err


def test_a_changed_file_is_refused(bundle: Path, tmp_path: Path, run_cli) -> None:
    file = bundle / "decoder.int8.tflite"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    refused = run_cli("kit", "microcontroller", bundle, "--out", tmp_path / "kit")
    assert refused.code == 2
    assert "changed or damaged" in refused.err


def test_an_operator_without_a_kernel_is_named(bundle: Path, tmp_path: Path, run_cli) -> None:
    from cvae_edge.c.model import write_c
    from cvae_edge.errors import BundleError
    from cvae_edge.guard.flatbuffers import Table

    content = bytearray((bundle / "decoder.int8.tflite").read_bytes())
    for table in Table.root(memoryview(bytes(content))).tables(1):
        if table.number(0, "b") == 5:  # DEPTH_TO_SPACE
            for place in filter(None, (table._place(0), table._place(3))):
                content[place] = 8
    with pytest.raises(BundleError, match="cannot be made into C: FLOOR has no C kernel"):
        write_c(Bundle.open(bundle).manifest, {"decoder": bytes(content)})


@pytest.fixture
def prior_copy(prior_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prior_bundle, tmp_path / "bundle"))


def test_a_learned_prior_comes_with_it(prior_copy: Path, tmp_path: Path, run_cli) -> None:
    kit = tmp_path / "kit"
    made = run_cli("kit", "microcontroller", prior_copy, "--out", kit)
    assert "prior.tflite, density.tflite in C" in made.out
    without = run_cli("kit", "microcontroller", TINY, "--out", tmp_path / "other", "--json")
    flash = ("--flash", json.loads(without.out)["flash_bytes"])
    refused = run_cli("kit", "microcontroller", prior_copy, "--out", kit, *flash)
    assert refused.code == 2
    assert "--flash must be at least" in refused.err
    text = (kit / "README.md").read_text()
    assert "draws from the learned prior" in text
    assert "cvae_score(pixels)" in text
    assert not [*(kit / "tflite_micro").glob("prior*")]
    need("check")
    shown = make(kit, "check")
    assert "prior: 0 of 32 values differ" in shown
    assert "density: 0 of 40 values differ" in shown
    source = kit / "cvae_model.c"
    source.write_text(
        re.sub(r"(prior_\d+_bias\[\d+\] = \{\n\s+)", r"\g<1>1 + ", source.read_text())
    )
    failed = subprocess.run(["make", "-C", kit, "check"], capture_output=True, text=True)
    assert failed.returncode != 0
    assert re.search("prior: [1-9][0-9]* of 32 values differ", failed.stdout)


@pytest.mark.parametrize("cpu", ["cortex-m3", "cortex-m4"])
def test_a_learned_prior_runs_on_an_emulated_device(
    cpu: str, prior_copy: Path, tmp_path: Path, run_cli
) -> None:
    need("run")
    assert run_cli("kit", "microcontroller", prior_copy, "--out", tmp_path / "kit").code == 0
    shown = make(tmp_path / "kit", "run", f"CPU={cpu}")
    assert "prior: 0 of 32 values differ" in shown
    assert "density: 0 of 40 values differ" in shown
    assert re.search(r"score: -\d+\.\d\d nats", shown)


def test_a_prior_without_its_density_draws_and_scores_nothing(
    prior_copy: Path, tmp_path: Path, run_cli
) -> None:
    manifest = Bundle.open(prior_copy).manifest
    kept = tuple(a for a in manifest.artifacts if a.role != "density")
    write_manifest(prior_copy, manifest._replace(artifacts=kept))
    kit = tmp_path / "kit"
    assert run_cli("kit", "microcontroller", prior_copy, "--out", kit).code == 0
    assert "CVAE_HAS_SCORE 0" in (kit / "cvae_model.h").read_text()
    assert "cvae_score(pixels)" not in (kit / "README.md").read_text()
    need("check")
    assert "prior: 0 of 32 values differ" in make(kit, "check")
    (kit / "use.c").write_text(
        '#include "cvae_sample.h"\nfloat f(void) { return cvae_score(0); }\n'
    )
    command = ["cc", "-Werror", "-c", "use.c"]
    assert b"cvae_score" in subprocess.run(command, cwd=kit, capture_output=True).stderr


def test_a_priors_operator_without_a_kernel_is_named(
    prior_copy: Path, tmp_path: Path, run_cli
) -> None:
    from cvae_edge.guard.flatbuffers import Table

    file = prior_copy / "prior.tflite"
    content = bytearray(file.read_bytes())
    for table in Table.root(memoryview(bytes(content))).tables(1):
        if table.number(0, "b") == 47:  # EXP
            for place in filter(None, (table._place(0), table._place(3))):
                content[place] = 8
    file.write_bytes(content)
    manifest = Bundle.open(prior_copy).manifest
    sha256 = hashlib.sha256(content).hexdigest()
    artifacts = tuple(
        a._replace(sha256=sha256) if a.file == file.name else a for a in manifest.artifacts
    )
    write_manifest(prior_copy, manifest._replace(artifacts=artifacts))
    refused = run_cli("kit", "microcontroller", prior_copy, "--out", tmp_path / "kit")
    assert refused.code == 2
    assert "the prior's TFLite file cannot be made into C: FLOOR of floats" in refused.err


def test_an_encoder_alone_takes_no_prior(prior_copy: Path) -> None:
    manifest = Bundle.open(prior_copy).manifest
    for roles, wanted in ((("decoder",), ["encoder"]), (("encoder",), ["decoder", "prior"])):
        kept = tuple(a for a in manifest.artifacts if a.role not in roles)
        assert [a.role for a in files_of_c(manifest._replace(artifacts=kept))] == wanted


@pytest.mark.parametrize(("role", "other"), [("decoder", "encoder"), ("encoder", "decoder")])
def test_one_half_alone_makes_a_kit(
    role: str, other: str, bundle: Path, tmp_path: Path, run_cli
) -> None:
    manifest = Bundle.open(bundle).manifest
    kept = tuple(a for a in manifest.artifacts if a.role == role)
    write_manifest(bundle, manifest._replace(artifacts=kept))
    assert run_cli("kit", "microcontroller", bundle, "--out", tmp_path / "kit").code == 0
    assert json.loads((tmp_path / "kit" / "kit.json").read_text())["kit"] == "microcontroller"
    need("check")
    shown = make(tmp_path / "kit", "check")
    assert f"{role}: 0 of" in shown
    assert other not in shown.replace(str(tmp_path), "")


FAKE_TFLITE_MICRO = """
import os

class Interpreter:
    @classmethod
    def from_bytes(cls, content, arena_size):
        assert content[4:8] == b"TFL3"
        if arena_size < 5000:
            os.abort()  # as TFLite Micro may
        return cls()

    def invoke(self):
        pass
"""


def test_the_readme_has_tflite_micros_arena_where_it_is_installed(
    tmp_path: Path, run_cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "packages" / "tflite_micro"
    fake.mkdir(parents=True)
    (fake / "__init__.py").touch()
    (fake / "runtime.py").write_text(FAKE_TFLITE_MICRO)
    paths = [str(fake.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.syspath_prepend(fake.parent)
    monkeypatch.delitem(sys.modules, "tflite_micro", raising=False)
    assert run_cli("kit", "microcontroller", TINY, "--out", tmp_path / "kit").code == 0
    (arena,) = set(re.findall("an arena of ([0-9,]+)", (tmp_path / "kit/README.md").read_text()))
    assert 5000 <= int(arena.replace(",", "")) < 5256
