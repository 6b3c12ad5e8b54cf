"""Engines of Python's packages, for targets_python.py: each opens a file and gives what runs it.

They take and give float32, one image at a time, on one thread. Each imports what its own
environment has.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Run = Callable[[Arrays], Arrays]
# What engines load that convert a file first.
MADE = ("*.vmfb", "*.mnn", "model.ncnn.*", "model.so")


class Job:
    """A file to open, and what it takes and gives."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.file, self.folder = request["file"], Path(request["folder"])
        self.bundle = Path(request["bundle"])
        self.is_onnx = self.file.endswith(".onnx")
        self.inputs = {t["name"]: t["shape"] for t in request["inputs"]}
        self.outputs = {t["name"]: t["shape"] for t in request["outputs"]}

    def of_one_image(self) -> str:
        """Return an ONNX file whose batch is 1, for compilers."""
        import onnx

        model = onnx.load(self.file)
        for tensor in (*model.graph.input, *model.graph.output):
            tensor.type.tensor_type.shape.dim[0].dim_value = 1
        path = self.folder / "one.onnx"
        onnx.save(model, path)
        return str(path)

    def command(self, *words: object) -> None:
        """Run a program; what it prints is the reason if it fails."""
        done = subprocess.run([str(w) for w in words], cwd=self.folder, capture_output=True)
        if done.returncode:
            raise ValueError((done.stderr or done.stdout).decode(errors="replace").strip()[-300:])

    def bytes(self) -> int:
        """Return the size of what is loaded: the file, or what it was converted to."""
        made = [f for pattern in MADE for f in self.folder.glob(pattern)]
        return sum(f.stat().st_size for f in made or [Path(self.file)])

    def named(self, values: Any) -> Arrays:
        """Give the outputs, which are in the graph's order, their names and shapes."""
        pairs = zip(self.outputs.items(), values, strict=True)
        return {name: np.asarray(value).reshape(shape) for (name, shape), value in pairs}


def onnxruntime(job: Job) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(job.file, options, ["CPUExecutionProvider"])
    return lambda x: job.named(session.run(list(job.outputs), x))


def litert(job: Job) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(job.file, num_threads=1).get_signature_runner()
    return lambda x: runner(**x)


def openvino(job: Job) -> Run:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # it would write a file
    import openvino as ov

    core = ov.Core()
    model = core.read_model(job.file)
    model.reshape(job.inputs)
    options = {  # by default it computes in bfloat16 where a processor can, and rounds dense layers
        "INFERENCE_PRECISION_HINT": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        "INFERENCE_NUM_THREADS": 1,
    }
    compiled = core.compile_model(model, "CPU", options)
    return lambda x: {name: compiled(x)[name] for name in job.outputs}


def tract(job: Job) -> Run:
    import tract

    model = tract.onnx().load(job.file)
    for i, shape in enumerate(job.inputs.values()):
        model.set_input_fact(i, ",".join(map(str, shape)) + ",f32")
    runnable = model.into_model().into_runnable()
    return lambda x: job.named(t.to_numpy() for t in runnable.run([x[n] for n in job.inputs]))


def iree(job: Job) -> Run:
    from iree import compiler, runtime

    source, program = job.folder / "model.mlir", job.folder / "model.vmfb"
    importer = Path(sys.executable).with_name("iree-import-onnx")
    job.command(importer, job.of_one_image(), "-o", source)
    compiler.compile_file(
        str(source),
        output_file=str(program),
        target_backends=["llvm-cpu"],
        extra_args=["--iree-llvmcpu-target-cpu=host"],
    )
    module = runtime.load_vm_flatbuffer_file(str(program), driver="local-sync")
    (name,) = (
        f for f in module.vm_module.function_names if not f.startswith("__") and "$" not in f
    )
    main = module[name]

    def run(x: Arrays) -> Arrays:
        given = main(*(x[n] for n in job.inputs))
        given = given if isinstance(given, (tuple, list)) else [given]
        return job.named(y.to_host().copy() for y in given)  # which is of a buffer that is reused

    return run


def tvm(job: Job) -> Run:
    import tvm
    from tvm import relax

    if job.is_onnx:
        import onnx
        from tvm.relax.frontend.onnx import from_onnx

        module = from_onnx(onnx.load(job.file), shape_dict=job.inputs)
    else:
        import tflite
        from tvm.relax.frontend.tflite import from_tflite

        module = from_tflite(tflite.Model.GetRootAs(Path(job.file).read_bytes()))
    here = tvm.target.codegen.llvm_get_system_cpu()
    built = tvm.compile(module, target=tvm.target.Target({"kind": "llvm", "mcpu": here}))
    machine = relax.VirtualMachine(built, tvm.cpu())

    def run(x: Arrays) -> Arrays:
        given = machine["main"](*(tvm.runtime.tensor(x[n]) for n in job.inputs))
        given = [given] if hasattr(given, "numpy") else given
        return job.named(y.numpy() for y in given)

    return run


def tflite_micro(job: Job) -> Run:
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(job.file, arena_size=1 << 21)

    def run(x: Arrays) -> Arrays:
        for i, name in enumerate(job.inputs):
            interpreter.set_input(x[name], i)
        interpreter.invoke()
        return job.named(interpreter.get_output(i) for i in range(len(job.outputs)))

    return run


def ncnn(job: Job) -> Run:
    import ncnn

    shape = ",".join(map(str, next(iter(job.inputs.values()))))
    model = job.folder / "model.onnx"
    model.symlink_to(job.file)
    converter = Path(ncnn.__file__).parents[1] / "pnnx" / "pnnx"  # its module would want torch
    job.command(converter, model, f"inputshape=[{shape}]", "fp16=0")
    net = ncnn.Net()
    net.opt.num_threads = 1
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{option}", False)
    if net.load_param(str(job.folder / "model.ncnn.param")):
        raise ValueError("ncnn lacks a layer that pnnx makes of it")
    net.load_model(str(job.folder / "model.ncnn.bin"))

    def run(x: Arrays) -> Arrays:
        extractor = net.create_extractor()
        for name, given in zip(net.input_names(), x.values(), strict=True):
            extractor.input(name, ncnn.Mat(np.ascontiguousarray(given[0])))
        return job.named(
            np.array(extractor.extract(name)[1]) for name in sorted(net.output_names())
        )

    return run


def mnn(job: Job) -> Run:
    import MNN

    model = job.folder / "model.mnn"
    format = "ONNX" if job.is_onnx else "TFLITE"
    # Its program mnnconvert does this too, and then installs a package and reports to its maker.
    call = "import sys, MNN, _tools; _tools.mnnconvert(sys.argv)"
    words = ("-f", format, "--modelFile", job.file, "--MNNModel", model)
    job.command(sys.executable, "-c", call, *words)
    order = MNN.expr.NCHW if job.is_onnx else MNN.expr.NHWC
    one = MNN.nn.create_runtime_manager(({"backend": "CPU", "numThread": 1},))
    names = list(job.inputs), list(job.outputs)
    net = MNN.nn.load_module_from_file(str(model), *names, runtime_manager=one)

    def run(x: Arrays) -> Arrays:
        given = net.forward([MNN.expr.const(x[n], x[n].shape, order) for n in job.inputs])
        if not given:
            raise ValueError("MNN computes the shape of one of its layers wrong")
        return job.named(np.array(y.read()) for y in given)

    return run


def opencv(job: Job) -> Run:
    import cv2

    cv2.setNumThreads(1)
    try:
        net = cv2.dnn.readNet(job.file)
    except cv2.error as error:
        raise ValueError(error.err) from error  # without the places in its source

    def run(x: Arrays) -> Arrays:
        for name in job.inputs:
            net.setInput(x[name], name)
        try:
            return job.named(net.forward(list(job.outputs)))
        except cv2.error as error:
            raise ValueError(error.err) from error

    return run


def tinygrad(job: Job) -> Run:
    from tinygrad import Tensor, TinyJit
    from tinygrad.nn.onnx import OnnxRunner

    runner = OnnxRunner(job.file)
    jitted = TinyJit(lambda **x: [runner(x)[name].realize() for name in job.outputs])
    return lambda x: job.named(y.numpy() for y in jitted(**{n: Tensor(x[n]) for n in job.inputs}))


def c(job: Job) -> Run:
    """Compile the file as this package's C; runs in the environment that has the package."""
    import ctypes

    from cvae_edge.bundle import Bundle
    from cvae_edge.c.model import HEADER, SOURCE, write_c
    from cvae_edge.kits.folder import read_sources

    role = Path(job.file).name.partition(".")[0]
    model = write_c(Bundle.open(job.bundle).manifest, {role: Path(job.file).read_bytes()})
    for name, content in read_sources("c").items():
        (job.folder / name).write_bytes(content)
    (job.folder / SOURCE).write_text(model.source)
    (job.folder / HEADER).write_text(model.header)
    options = ("-O3", "-std=c99", "-shared", "-fPIC", "-o", "model.so")
    job.command("gcc", *options, SOURCE, "cvae_kernels.c", "-lm")
    library = ctypes.CDLL(str(job.folder / "model.so"))

    def call(function: str, tensor: str, x: np.ndarray) -> None:
        place = ctypes.c_char.in_dll(library, f"cvae_{role}_{tensor}")
        data = x.ctypes.data_as(ctypes.c_void_p)
        pair = (data, ctypes.byref(place))
        getattr(library, function)(*(pair if function == "cvae_quantize" else pair[::-1]))

    def run(x: Arrays) -> Arrays:
        for name in job.inputs:
            call("cvae_quantize", name, np.ascontiguousarray(x[name]))
        getattr(library, f"cvae_{role}_run")()
        given = {name: np.empty(shape, np.float32) for name, shape in job.outputs.items()}
        for name, y in given.items():
            call("cvae_dequantize", name, y)
        return given

    return run


ENGINES: dict[str, Callable[[Job], Run]] = {
    function.__name__: function
    for function in (
        onnxruntime, litert, openvino, tract, iree, tvm, tflite_micro, ncnn, mnn, opencv, tinygrad,
        c,
    )
}  # fmt: skip
