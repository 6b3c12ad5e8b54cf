"""Files of int8 by this package and by others, from the same model and calibration set."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from adaround import adaround
from onnxruntime.quantization import QuantType, quantize_static

from cvae_edge.bundle import Bundle
from cvae_edge.codec import Codec, Graph
from cvae_edge.exporters.calibration import candidates
from cvae_edge.exporters.costs import Elbos
from cvae_edge.exporters.naive import NAIVE, CalibrationBatches
from cvae_edge.exporters.passes.lower import lower
from cvae_edge.exporters.passes.quantize import mark, marked, observe, output_names
from cvae_edge.exporters.subject import Subject
from cvae_edge.exporters.targets import TARGETS, File
from cvae_edge.exporters.targets.tflite import signature
from cvae_edge.manifest import Artifact
from cvae_edge.quiet import quiet
from cvae_edge.runtime.engines import open_session
from cvae_edge.runtime.timing import make_call, median_microseconds

Inputs = Mapping[str, np.ndarray]
_LITERT = ("litert_quantizer", "ai_edge_quantizer")  # one tool, by its new name and its old one


def rows(bundle: Bundle, subject: Subject, elbos: Elbos, inputs: Inputs) -> list[dict[str, Any]]:
    """Return, by quantizer, what a pair loses and takes: nats, bytes, microseconds.

    Times are of one image with one thread; all files of a format and role take turns.
    """
    result = []
    for format in ("tflite", "onnx"):
        files, graphs, times = {}, {}, {}
        for role in ("encoder", "decoder"):
            artifact = bundle.manifest.find(role, format, "int8")
            files[role] = dict(_files(bundle, subject, artifact, inputs))
            of_role = {name: (f.described_by(artifact), f) for name, f in files[role].items()}
            with quiet():
                graphs[role] = {n: _graph(artifact, f) for n, f in files[role].items()}
                calls = {n: make_call(a, f.content) for n, (a, f) in of_role.items()}
            times[role] = median_microseconds(calls, 40)
        for name in files["encoder"]:
            encoder, decoder = (graphs[role][name] for role in files)
            codecs = {role: subject.with_half(role, graphs[role][name]) for role in files}
            codecs["pair"] = Codec(encoder, decoder)
            lost = {part: round(elbos.trained - elbos.of(c), 4) for part, c in codecs.items()}
            result.append(
                {
                    "format": format,
                    "quantizer": name,
                    "loss_nats": lost,
                    "bytes": sum(len(files[role][name].content) for role in files),
                    "microseconds": {role: round(times[role][name], 1) for role in files},
                }
            )
            print(result[-1], flush=True)
    return result


def _files(
    bundle: Bundle, subject: Subject, artifact: Artifact, inputs: Inputs
) -> Iterator[tuple[str, File]]:
    """Yield what each quantizer makes of an encoder or a decoder, by the quantizer's name."""
    format, role = artifact.format, artifact.role
    for precision in ("float32", "dynamic_range", "int8"):
        own = bundle.manifest.find(role, format, precision)
        name = f"this package, {precision.replace('_', ' ')}"
        yield name, File(bundle.read(own), own.inputs, own.outputs)
    target, network = TARGETS[format], subject.networks[role]
    own_inputs = {t.name: inputs[t.name] for t in network.inputs}
    network = lower(_min_max(network, format, own_inputs), artifact.lowering or "transposed")
    yield "its graphs, min-max ranges, rounded to nearest", target.emit(network, "int8")
    learned = adaround(network, target.schemes["int8"], own_inputs)
    yield "the same, rounded by AdaRound", target.emit(learned, "int8")
    model = getattr(subject.vae, role)
    if format == "onnx":
        yield "onnxruntime, static", NAIVE[format](model, "int8", inputs)
        plain = NAIVE[format](model, "float32", inputs)
        for reduce_range in (False, True):
            name = f"onnxruntime, static per channel{', 7 bits' if reduce_range else ''}"
            yield name, _per_channel(plain, inputs, reduce_range)
        yield "onnxruntime, dynamic", NAIVE[format](model, "dynamic_range", inputs)
    else:
        yield "converter, post-training int8", NAIVE[format](model, "int8", inputs)
        yield "converter, dynamic range", NAIVE[format](model, "dynamic_range", inputs)
        float32 = bundle.read(bundle.manifest.find(role, format))
        yield from _litert(float32, own_inputs)


def _min_max(network: Any, format: str, inputs: Inputs) -> Any:
    values = observe(network, inputs)
    logits = output_names(network).get("x_logits")
    ranges = {}
    for name in marked(network, TARGETS[format].schemes["int8"]):
        found = candidates(values[name], is_logits=name == logits)
        ranges[name] = found.get("symmetric min-max", found["min-max"])
    return mark(network, ranges)[0]


def _per_channel(float32: File, inputs: Inputs, reduce_range: bool) -> File:
    """What onnxruntime's guide recommends for x86-64 with VNNI, and without (7 bits)."""
    batches = CalibrationBatches({t.name: inputs[t.name] for t in float32.inputs})
    with quiet(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        quantize_static(
            onnx.load_from_string(float32.content), path, batches, per_channel=True,
            reduce_range=reduce_range, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )  # fmt: skip
        return File(path.read_bytes(), float32.inputs, float32.outputs)


def _litert(float32: bytes, inputs: Inputs) -> Iterator[tuple[str, File]]:
    """Google's quantizer, on this package's float32 file; nothing where it is not installed."""
    there = [module for module in _LITERT if importlib.util.find_spec(module)]
    if not there:
        return
    tool = importlib.import_module(f"{there[0]}.quantizer")
    recipe = importlib.import_module(f"{there[0]}.recipe")
    n = len(next(iter(inputs.values())))
    data = [{name: v[i : i + 1] for name, v in inputs.items()} for i in range(n)]
    for words, wanted in (
        ("static int8", recipe.static_wi8_ai8()),
        ("static, 16-bit activations", recipe.static_wi8_ai16()),
        ("dynamic", recipe.dynamic_wi8_afp32()),
    ):
        with quiet(), contextlib.redirect_stdout(io.StringIO()):
            quantizer = tool.Quantizer(bytearray(float32))
            quantizer.load_quantization_recipe(wanted)
            needed = words != "dynamic"
            calibration = quantizer.calibrate({"serving_default": data}) if needed else None
            content = bytes(quantizer.quantize(calibration).quantized_model)
        yield f"{there[0].replace('_', '-')}, {words}", File(content, *signature(content))


def _graph(artifact: Artifact, file: File) -> Graph:
    """Open any tool's file; tools name the only output as they like."""
    graph = open_session(file.described_by(artifact), file.content)
    wanted = [t.name for t in artifact.outputs]

    def run(**values: np.ndarray) -> dict[str, np.ndarray]:
        (value,) = values.values()
        got = graph(**{file.inputs[0].name: value})
        return got if set(wanted) == set(got) else {wanted[0]: next(iter(got.values()))}

    return run
