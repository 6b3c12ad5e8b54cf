"""One peer of inference.py, in its own process: how each runtime runs the same three jobs.

    decoder      z (n, latent_dim) to x_logits (n, h, w, c)
    encoder      x (n, h, w, c) to mean and logvar
    reconstruct  x to the image of its posterior mean, in [0, 1]

``inference.py`` starts it, with a line of JSON as its argument.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from turns import median_seconds, serve

Array = np.ndarray
Call = Callable[[Array], Any]
Jobs = Callable[[str, int], Call]  # role and batch to what does it
Opened = Callable[[Array], list[Array]]  # a file: its input to all its outputs


def ours(bundle: str, format: str, precision: str, provider: str, threads: int) -> Jobs:
    """The runtime, with its chunks and threads; reconstruct is the public method as it is."""
    from cvae_edge import EdgeCVAE

    model = EdgeCVAE.load(
        bundle, format=format, precision=precision, provider=provider, threads=threads
    )
    latent_shape = (model.latent_dim,)

    def decode(z: Array) -> Array:
        x_logits = np.empty((len(z), *model.image_shape), np.float32)

        def work(codec: Any, low: int, high: int) -> None:
            x_logits[low:high] = codec.decode(z[low:high])

        model._codecs.run(len(z), work)
        return x_logits

    def encode(x: Array) -> tuple[Array, Array]:
        mean, logvar = (np.empty((len(x), *latent_shape), np.float32) for _ in range(2))

        def work(codec: Any, low: int, high: int) -> None:
            mean[low:high], logvar[low:high] = codec.encode(x[low:high])

        model._codecs.run(len(x), work)
        return mean, logvar

    jobs = {
        "decoder": decode,
        "encoder": encode,
        "reconstruct": lambda x: model.reconstruct(x, sample=False),
    }
    return lambda role, batch: jobs[role]


def two_files(open_file: Callable[[str, int], Opened], images: dict[str, Array]) -> Jobs:
    """A naive export's encoder and decoder; its user adds the sigmoid."""
    open_once = cache(open_file)
    np.seterr(over="ignore")  # exp of 89 and more is infinite, and the pixel 0

    def jobs(role: str, batch: int) -> Call:
        if role == "encoder":
            return open_once("encoder", batch)
        decoder = open_once("decoder", batch)
        if role == "decoder":
            return lambda z: decoder(z)[0]
        encoder = open_once("encoder", batch)
        # Tools name and order the outputs as they like.
        posterior = encoder(images["x"][:batch])
        is_mean = [np.abs(output - images["mean"][:batch]).sum() for output in posterior]
        mean = int(np.argmin(is_mean))
        return lambda x: 1 / (1 + np.exp(-decoder(encoder(x)[mean])[0]))

    return jobs


def onnxruntime(folder: Path, precision: str, threads: int) -> Callable[[str, int], Opened]:
    import onnxruntime as ort

    def open_file(role: str, batch: int) -> Opened:
        options = ort.SessionOptions()  # its defaults, but for what is compared
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        file = str(folder / f"{role}.{precision}.onnx")
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda value: session.run(None, {name: value})

    return open_file


def litert(folder: Path, precision: str, threads: int) -> Callable[[str, int], Opened]:
    from ai_edge_litert.interpreter import Interpreter

    def open_file(role: str, batch: int) -> Opened:
        file = str(folder / f"{role}.{precision}.tflite")
        interpreter = Interpreter(file, num_threads=threads)
        place = interpreter.get_input_details()[0]
        interpreter.resize_tensor_input(place["index"], [batch, *place["shape"][1:]])
        interpreter.allocate_tensors()
        places = [details["index"] for details in interpreter.get_output_details()]

        def run(value: Array) -> list[Array]:
            interpreter.set_tensor(place["index"], value)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in places]

        return run

    return open_file


def openvino(folder: Path, precision: str, threads: int) -> Callable[[str, int], Opened]:
    import openvino as ov

    core = ov.Core()

    def open_file(role: str, batch: int) -> Opened:
        model = core.read_model(folder / f"{role}.{precision}.onnx")
        shape = model.input(0).partial_shape
        model.reshape([batch, *(d.get_length() for d in shape[1:])])  # it likes them fixed
        compiled = core.compile_model(
            model,
            "CPU",
            {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"},
        )
        request = compiled.create_infer_request()
        places = range(len(compiled.outputs))

        def run(value: Array) -> list[Array]:
            outputs = request.infer([value], share_inputs=True)
            return [outputs[i] for i in places]

        return run

    return open_file


def tensorflow(run: str, way: str, threads: int) -> Jobs:
    """The trained Keras model in tf.function, or in Keras predict."""
    from cvae_edge.training.framework import import_tensorflow

    import_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    from cvae_edge.training.run import Run

    vae = Run.open(Path(run)).vae()
    if way == "tf.function":
        decode, encode = tf.function(vae.decoder), tf.function(vae.encoder)
        reconstruct = tf.function(
            lambda x: tf.sigmoid(vae.decoder(vae.encoder(x)["mean"])["x_logits"])
        )
        jobs = {
            "decoder": lambda z: decode(tf.constant(z))["x_logits"].numpy(),
            "encoder": lambda x: [v.numpy() for v in encode(tf.constant(x)).values()],
            "reconstruct": lambda x: reconstruct(tf.constant(x)).numpy(),
        }
        return lambda role, batch: jobs[role]
    import keras

    x = keras.Input(vae.image_shape)
    x_logits = vae.decoder(vae.encoder(x)["mean"])["x_logits"]
    whole = keras.Model(x, keras.ops.sigmoid(x_logits))
    networks = {"decoder": vae.decoder, "encoder": vae.encoder, "reconstruct": whole}
    return lambda role, batch: (
        lambda value: networks[role].predict(value, batch_size=batch, verbose=0)
    )


def pytorch(run: str, threads: int) -> Jobs:
    """The same networks and weights, eager."""
    import torch
    from pytorch import make_decoder, make_encoder

    from cvae_edge.training.run import Run

    torch.set_num_threads(threads)
    opened = Run.open(Path(run))
    (weights, _), config = opened.read_weights(), opened.config.model
    encode, decode = make_encoder(weights, config), make_decoder(weights, config)

    def reconstruct(x: Array) -> Array:
        mean = encode(torch.from_numpy(x))[:, : config.latent_dim]
        return decode(mean).sigmoid().numpy()

    jobs = {
        "decoder": lambda z: decode(torch.from_numpy(z)).numpy(),
        "encoder": lambda x: encode(torch.from_numpy(x)).numpy(),
        "reconstruct": reconstruct,
    }
    return lambda role, batch: torch.inference_mode()(jobs[role])


FILES = {"onnxruntime": onnxruntime, "LiteRT": litert, "OpenVINO": openvino}


def make_jobs(
    folder: Path, tool: str, run: str, bundle: str, threads: int, kind: tuple[str, ...]
) -> Jobs:
    if tool == "ours":
        format, precision, provider = kind
        return ours(bundle, format, precision, provider, threads)
    if tool == "tensorflow":
        return tensorflow(run, kind[0], threads)
    if tool == "pytorch":
        return pytorch(run, threads)
    open_file = FILES[tool](folder, kind[0], threads)
    return two_files(open_file, dict(np.load(folder / "images.npz")))


def prepare(folder: str, **peer: Any) -> Callable[..., Any]:
    """Return what answers: a turn's median seconds, or the x_logits of all z in a file."""
    jobs = make_jobs(Path(folder), **peer)
    images = dict(np.load(Path(folder) / "images.npz"))

    @cache
    def call(role: str, batch: int) -> Callable[[], Any]:
        values = images["z" if role == "decoder" else "x"]
        starts = range(0, len(values) - batch + 1, batch)
        batches = itertools.cycle([np.ascontiguousarray(values[i : i + batch]) for i in starts])
        run = jobs(role, batch)
        return lambda: run(next(batches))

    def answer(role: str, batch: int, seconds: float) -> float:
        return median_seconds(call(role, batch), seconds)

    def logits(logits_to: str) -> None:
        decode = jobs("decoder", 16)
        parts = [decode(z) for z in np.split(images["z"], len(images["z"]) // 16)]
        np.save(logits_to, np.concatenate(parts))

    return lambda **request: answer(**request) if "role" in request else logits(**request)


if __name__ == "__main__":
    serve(lambda: prepare(**json.loads(sys.argv[1])))
