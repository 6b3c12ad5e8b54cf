"""Files in their runtimes: what EdgeCVAE adds to them, and what it asks of them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from cvae_edge import EdgeCVAE, memory
from cvae_edge.bundle import Bundle
from cvae_edge.codec import Codec
from cvae_edge.errors import BundleError, ConfigError
from cvae_edge.manifest import Artifact
from cvae_edge.memory import available_memory, require_memory
from cvae_edge.model_config import ModelShape
from cvae_edge.noise import standard_normal
from cvae_edge.runtime.codecs import Codecs
from cvae_edge.runtime.engines import open_session
from cvae_edge.runtime.parallel import Workers
from cvae_edge.sigmoid import sigmoid


def decoders(tiny) -> list[Artifact]:
    return [a for a in Bundle.open(tiny).manifest.artifacts if a.role == "decoder"]


def test_images_are_the_sigmoid_of_the_logits_in_every_file(tiny):
    bundle, z = Bundle.open(tiny), standard_normal(9, 4)
    for artifact in decoders(tiny):
        if artifact.format == "tflite":
            pytest.importorskip("ai_edge_litert", reason="TFLite files need LiteRT")
        session = open_session(artifact, bundle.read(artifact))
        x_logits = session(z=z)["x_logits"].astype(np.float64)
        images = Codec(None, session).images(z)
        np.testing.assert_allclose(images, 1 / (1 + np.exp(-x_logits)), atol=5e-7)


def test_the_sigmoid_neither_overflows_nor_loses_its_ends():
    x = np.array([-1e30, -200, -88, -10, 0, 10, 88, 1e30], np.float32)
    y = sigmoid(x.copy())
    exact = 1 / (1 + np.exp(-np.clip(x.astype(np.float64), -500, 500)))
    np.testing.assert_allclose(y, exact, atol=1e-7)
    assert (np.diff(y) >= 0).all()


def test_names_that_are_not_the_manifests_are_refused(tiny):
    bundle = Bundle.open(tiny)
    for artifact in decoders(tiny):
        if artifact.format == "tflite":
            pytest.importorskip("ai_edge_litert", reason="TFLite files need LiteRT")
        renamed = artifact._replace(outputs=(artifact.outputs[0]._replace(name="y"),))
        with pytest.raises(BundleError, match=f"{artifact.file} must have"):
            open_session(renamed, bundle.read(artifact))


def test_what_is_no_model_is_refused(tiny):
    for artifact in decoders(tiny):
        if artifact.format == "tflite":
            pytest.importorskip("ai_edge_litert", reason="TFLite files need LiteRT")
        with pytest.raises(BundleError, match=f"{artifact.file} cannot be opened"):
            open_session(artifact, b"no model")


def test_inputs_of_a_wrong_shape_are_refused(tiny):
    bundle = Bundle.open(tiny)
    artifact = bundle.manifest.find("decoder", "onnx")
    with pytest.raises(BundleError, match="cannot be run"):
        open_session(artifact, bundle.read(artifact))(z=np.zeros((1, 5), np.float32))


def test_onnxruntimes_threads_stop_spinning_soon_after_a_run(tiny):
    resource = pytest.importorskip("resource", reason="only Unix counts a process's time so")
    if tuple(map(int, ort.__version__.split(".")[:2])) < (1, 26):
        pytest.skip("onnxruntime before 1.26 cannot be told how long to spin")
    bundle = Bundle.open(tiny)
    artifact = bundle.manifest.find("decoder", "onnx")
    graph = open_session(artifact, bundle.read(artifact), threads=2)
    graph(z=standard_normal(1, 4))
    shares = []
    for _ in range(3):  # a busy machine may disturb one
        cpu, clock = resource.getrusage(resource.RUSAGE_SELF).ru_utime, time.monotonic()
        for _ in range(10):
            graph(z=standard_normal(1, 4))
            threading.Event().wait(0.03)
        used = resource.getrusage(resource.RUSAGE_SELF).ru_utime - cpu
        shares.append(used / (time.monotonic() - clock))
    assert min(shares) < 0.5  # a worker that spun on would have used all of the time


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_a_model_starts_as_many_threads_as_it_is_told(tiny, format):
    if format == "tflite":
        pytest.importorskip("ai_edge_litert", reason="TFLite files need LiteRT")
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        pytest.skip("only Linux lists a process's threads this way")

    def started(threads: int, n: int) -> int:
        before = set(os.listdir(tasks))
        model = EdgeCVAE.load(tiny, format=format, threads=threads)
        model.encode(model.generate(n))  # which opens the encoder
        return len(set(os.listdir(tasks)) - before)

    # Each of the two graphs runs in the caller's own thread as well.
    assert [started(threads, 1) for threads in (1, 2, 4)] == [0, 2, 6]
    assert started(1, 100) == 0
    assert started(2, 100) == 2  # that of chunks, and that of the decoder for single images


def test_chunks_cover_a_batch_once():
    for threads in (1, 2, 5):
        for n in (1, 2, 15, 16, 17, 100):
            seen, lock = np.zeros(n, int), threading.Lock()

            def work(low: int, high: int, seen: np.ndarray = seen, lock=lock) -> None:
                with lock:
                    seen[low:high] += 1

            Workers(threads).for_each_chunk(n, work)
            assert (seen == 1).all()


def test_chunks_are_equal_and_every_thread_has_as_many():
    sizes: list[int] = []
    Workers(2).for_each_chunk(130, lambda low, high: sizes.append(high - low), largest=32)
    assert sorted(sizes) == [20, 22, 22, 22, 22, 22]


def test_the_callers_own_thread_works_as_well():
    met = threading.Barrier(2, timeout=300)
    names: set[str] = set()

    def work(low: int, high: int) -> None:
        met.wait()  # both threads are here at once
        names.add(threading.current_thread().name)

    Workers(2).for_each_chunk(8, work)
    assert threading.current_thread().name in names
    assert len(names) == 2


@pytest.mark.parametrize(
    ("side", "sizes"),
    [(8, [25] * 4), (32, [25] * 4), (64, [8] * 12 + [4]), (512, [1] * 100)],
)
def test_large_images_come_in_chunks_of_fewer(tiny, monkeypatch, side, sizes):
    """As many pixels as 32 images of 32x32, and never more than 32 images."""
    bundle = Bundle.open(tiny)
    manifest = bundle.manifest._replace(model=ModelShape((side, side, 1), 4))
    monkeypatch.setattr(bundle, "manifest", manifest)
    codecs = Codecs(bundle, [manifest.find("decoder", "onnx", "float32")], 2, "cpu")
    got = []
    codecs.run(100, lambda codec, low, high: got.append(high - low), largest=32)
    assert sorted(got, reverse=True) == sizes


def test_a_provider_that_runs_no_such_file_is_refused_before_any_is_opened(tiny):
    bundle = Bundle.open(tiny)
    encoder = bundle.manifest.find("encoder", "onnx")  # opened when it is first needed
    with pytest.raises(ConfigError, match="abacus"):
        Codecs(bundle, [encoder], 1, "abacus")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("where", ["caller", "helper"])
def test_an_error_in_a_chunk_is_the_callers_and_ends_the_work(threads, where):
    caller = threading.current_thread()
    met = threading.Barrier(threads, timeout=300)
    done: list[int] = []

    def work(low: int, high: int) -> None:
        if low < 32 * threads:
            met.wait()
        done.append(low)
        if threads == 1 or (threading.current_thread() is caller) == (where == "caller"):
            raise ConfigError("from a thread")
        time.sleep(0.05)  # the other, meanwhile, raises

    with pytest.raises(ConfigError, match="from a thread"):
        Workers(threads).for_each_chunk(3200, work)
    assert len(done) <= 50  # of 100 or 101: a busy machine may wake the other late


def test_more_memory_than_there_is_is_refused(monkeypatch):
    require_memory(1, "a byte")
    assert available_memory() > 1 << 20
    with pytest.raises(ConfigError, match="fit into memory"):
        require_memory(1 << 60, "an exabyte")
    monkeypatch.setattr(memory, "available_memory", lambda: 10)
    require_memory(1000, "little")  # not worth a look
