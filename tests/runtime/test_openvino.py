"""The provider openvino: the same numbers as onnxruntime's, for any batch and thread."""

from __future__ import annotations

import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from cvae_edge import EdgeCVAE
from cvae_edge.bundle import Bundle
from cvae_edge.codec import Codec
from cvae_edge.errors import BundleError, ConfigError, DependencyError
from cvae_edge.noise import standard_normal
from cvae_edge.runtime.engines import open_session
from cvae_edge.runtime.source import open_bundle, reference_bundle
from cvae_edge.runtime.verify import verify_bundle

installed = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")
PRECISIONS = ("float32", "int8")


@pytest.fixture(scope="module")
def on_openvino(tiny) -> EdgeCVAE:
    return EdgeCVAE.load(tiny, format="onnx", threads=2, provider="openvino")


@installed
@pytest.mark.parametrize("which", ["tiny", "reference"])
def test_every_file_is_within_its_tolerance(tiny, which):
    folder = tiny if which == "tiny" else reference_bundle()
    checks = verify_bundle(open_bundle(folder), provider="openvino")
    checks = [check for check in checks if check.file.endswith(".onnx")]
    assert checks
    assert not [(check.file, check.message) for check in checks if not check.ok]


@installed
def test_results_do_not_depend_on_the_batch(on_openvino, tiny):
    expected = EdgeCVAE.load(tiny, format="onnx").generate(600, seed=3)
    for n in (1, 2, 7, 9, 41, 256, 257, 600):
        np.testing.assert_allclose(on_openvino.generate(n, seed=3), expected[:n], atol=2e-6)


@installed
def test_every_method_gives_what_onnxruntime_gives(on_openvino, model, images):
    mean = model.encode(images).mean
    np.testing.assert_allclose(on_openvino.encode(images).mean, mean, atol=2e-6)
    np.testing.assert_allclose(on_openvino.decode(mean), model.decode(mean), atol=2e-6)
    np.testing.assert_allclose(on_openvino.score(images), model.score(images), atol=1e-4)
    np.testing.assert_allclose(
        on_openvino.reconstruct(images), model.reconstruct(images), atol=2e-6
    )


@installed
def test_results_are_the_callers_own(on_openvino):
    first = on_openvino.generate(2, seed=0)
    kept = first.copy()
    on_openvino.generate(2, seed=1)
    np.testing.assert_array_equal(first, kept)


@installed
@pytest.mark.parametrize("precision", PRECISIONS)
def test_sixteen_threads_at_once_get_what_one_gets(tiny, images, precision):
    def load() -> EdgeCVAE:
        return EdgeCVAE.load(tiny, format="onnx", precision=precision, provider="openvino")

    alone, shared = load(), load()  # of the shared one nothing is compiled yet
    expected = {n: alone.generate(n, seed=n) for n in (1, 3, 40)}, alone.score(images)
    start, finished = threading.Barrier(16), []

    def work() -> None:
        start.wait()
        for n, images_of_n in expected[0].items():
            np.testing.assert_allclose(shared.generate(n, seed=n), images_of_n, atol=1e-5)
        np.testing.assert_allclose(shared.score(images), expected[1], atol=1e-3)
        finished.append(1)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    assert len(finished) == 16


@installed
def test_few_sizes_are_compiled_however_many_come():
    from cvae_edge.runtime.engines.openvino import _LARGEST, _SPARE, _sizes

    seen = set()
    for n in range(1, 1000):
        sizes = list(_sizes(n))
        seen.update(sizes)
        assert n <= sum(sizes) <= n + _SPARE
    assert seen == {1 << i for i in range(_LARGEST.bit_length())}


@installed
def test_places_to_spare_hold_a_row_of_this_batch():
    from cvae_edge.runtime.engines.openvino import _fill

    places = np.full((4, 2), 1e9, np.float32)
    _fill(places, np.array([[1, 2], [3, 4]], np.float32))
    np.testing.assert_array_equal(places, [[1, 2], [3, 4], [3, 4], [3, 4]])


@installed
def test_what_is_no_model_of_the_manifests_is_refused(tiny):
    bundle = Bundle.open(tiny)
    artifact = bundle.manifest.find("decoder", "onnx")
    content = bundle.read(artifact)
    renamed = artifact._replace(outputs=(artifact.outputs[0]._replace(name="y"),))
    with pytest.raises(BundleError, match=f"{artifact.file} must have the inputs and outputs"):
        open_session(renamed, content, provider="openvino")
    for damaged in (
        b"",
        b"no model",
        str(tiny / artifact.file).encode(),
        content[: len(content) // 2],
    ):
        with pytest.raises(BundleError, match="cannot be opened by OpenVINO") as raised:
            open_session(artifact, damaged, provider="openvino")
        assert "\n" not in str(raised.value)


@installed
@pytest.mark.parametrize("shape", [(1, 5), (3, 1), (2, 4, 1)])
def test_inputs_of_a_wrong_shape_are_refused(tiny, shape):
    bundle = Bundle.open(tiny)
    artifact = bundle.manifest.find("decoder", "onnx")
    graph = open_session(artifact, bundle.read(artifact), provider="openvino")
    with pytest.raises(BundleError, match="cannot be run by OpenVINO"):
        graph(z=np.zeros(shape, np.float32))


@installed
def test_images_are_the_sigmoid_of_the_logits(tiny):
    bundle, z = Bundle.open(tiny), standard_normal(9, 4)
    for precision in PRECISIONS:
        artifact = bundle.manifest.find("decoder", "onnx", precision)
        decoder = open_session(artifact, bundle.read(artifact), provider="openvino")
        x_logits = decoder(z=z)["x_logits"].astype(np.float64)
        np.testing.assert_allclose(
            Codec(None, decoder).images(z), 1 / (1 + np.exp(-x_logits)), atol=5e-7
        )


@installed
def test_it_prints_nothing_and_writes_nothing(tiny: Path, tmp_path: Path):
    script = (
        "import sys; from cvae_edge import EdgeCVAE;"
        "EdgeCVAE.load(sys.argv[1], format='onnx', provider='openvino').generate(3);"
        "heavy = {'tensorflow', 'keras', 'torch', 'onnx', 'onnxruntime', 'matplotlib', 'typer'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tiny)],
        env={"HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())


@installed
def test_a_signal_is_handled_after_models_have_come_and_gone(tiny: Path):
    """In their order; Python handles signals on the thread's signal stack, if it has one."""
    code = (
        "import signal; from cvae_edge import EdgeCVAE\n"
        "def load():\n"
        f"    model = EdgeCVAE.load({str(tiny)!r}, format='onnx', provider='openvino')\n"
        "    return model.generate(1), model\n"
        "first, second = load(), load()\n"
        "del first\n"
        "del second\n"
        "signal.signal(signal.SIGINT, lambda number, frame: print('handled'))\n"
        "signal.raise_signal(signal.SIGINT)\n"
    )
    command = [sys.executable, "-X", "faulthandler", "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "handled\n"), ran.stderr


@installed
def test_the_model_says_what_it_runs_on(on_openvino):
    assert "openvino" in repr(on_openvino)


def test_without_openvino_the_way_to_get_it_is_named(tiny, monkeypatch):
    monkeypatch.setattr("cvae_edge.runtime.engines.is_installed", lambda engine: False)
    message = r"need OpenVINO, which is not installed: pip install 'cvae-edge\[openvino\]'"
    with pytest.raises(DependencyError, match=message):
        EdgeCVAE.load(tiny, format="onnx", provider="openvino")
    checks = verify_bundle(Bundle.open(tiny), provider="openvino")
    assert {check.status for check in checks if check.file.endswith("onnx")} == {"skipped"}
    with pytest.raises(ConfigError, match="LiteRT runs on the provider cpu alone"):
        EdgeCVAE.load(tiny, format="tflite", provider="openvino")


def test_a_provider_that_threads_by_itself_gets_large_chunks_on_the_callers_thread(
    tiny, monkeypatch
):
    model = EdgeCVAE.load(tiny, format="onnx", threads=2)
    monkeypatch.setattr(model._codecs, "provider", "cuda")
    seen: list[tuple[int, int]] = []
    model._codecs.run(700, lambda codec, low, high: seen.append((low, high)), largest=64)
    assert seen == [(0, 256), (256, 512), (512, 700)]
    assert model._codecs.is_small(256)
    assert not model._codecs.is_small(257)


@installed
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_a_forked_process_is_told_what_it_cannot_do(tiny: Path):
    """OpenVINO's threads are not in it; waiting for them ended in most runs and not in all."""
    code = (
        "import os; from cvae_edge import EdgeCVAE; from cvae_edge.errors import ConfigError\n"
        f"model = EdgeCVAE.load({str(tiny)!r}, format='onnx', provider='openvino')\n"
        "model.generate(3)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try:\n"
        "        model.generate(3)\n"
        "    except ConfigError as error:\n"
        "        os._exit(7 if 'not in forked ones' in str(error) else 8)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "7\n", ran.stderr
