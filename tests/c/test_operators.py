"""Every operator that C has a kernel for, alone, beside LiteRT's reference kernels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import MACHINES, Program, graph_of, manifest, random_inputs

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from litert_reference import ReferenceKernels
from one_operator import OneOperator, options

from cvae_edge.c.emulate import emulate

MODEL = manifest((28, 28, 1), 50)
CASES = 4
RNG = np.random.default_rng(0)


def scale() -> float:
    return float(np.float32(RNG.uniform(0.002, 0.2)))


def zero() -> int:
    return int(RNG.integers(-128, 128))


def one_by_one() -> Iterator[tuple[str, bytes]]:
    fixed = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
    for name in ("LOGISTIC", "TANH", "LEAKY_RELU", "RELU", "RELU6", "RELU_N1_TO_1", "QUANTIZE",
                 "GELU"):  # fmt: skip
        for k in range(4):
            o = OneOperator()
            x = o.tensor((1, 256), scale(), zero())
            y = o.tensor((1, 256), *fixed.get(name, (scale(), zero())))
            extra: dict[str, Any] = {
                "LEAKY_RELU": options("LeakyReluOptions", alpha=0.17),
                "GELU": options("GeluOptions", approximate=bool(k % 2)),
            }
            yield f"{name}_{k}", o.content(name, [x], y, extra.get(name))


def pairs() -> Iterator[tuple[str, bytes]]:
    for name, kind in {"ADD": "AddOptions", "MUL": "MulOptions"}.items():
        for k in range(6):
            o = OneOperator()
            x = o.tensor((1, 7, 5, 8), scale(), zero())
            shape = (1, 7, 5, 8) if k % 2 else (1, 1, 1, 8)
            data = None if k % 3 else RNG.integers(-128, 128, shape).astype(np.int8)
            other = o.tensor(shape, scale(), zero(), data)
            y = o.tensor((1, 7, 5, 8), scale(), zero())
            fused = options(kind, fusedActivationFunction=k % 4)
            yield f"{name}_{k}", o.content(name, [x, other], y, fused)


def windows() -> Iterator[tuple[str, bytes]]:
    for padding in (0, 1):
        for name in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
            o, s, z = OneOperator(), scale(), zero()
            x = o.tensor((1, 9, 8, 3), s, z)
            y = o.tensor((1, 4, 3, 3) if padding else (1, 5, 4, 3), s, z)
            window = options("Pool2DOptions", padding=padding, strideW=2, strideH=2, filterWidth=3,
                             filterHeight=3, fusedActivationFunction=padding)  # fmt: skip
            yield f"{name}_{padding}", o.content(name, [x], y, window)
        for stride, dilation, many in ((1, 1, 1), (2, 1, 1), (2, 1, 2), (1, 2, 1)):
            for each in (False, True):
                yield from linear(padding, stride, dilation, many, each)


def linear(
    padding: int, stride: int, dilation: int, many: int, each: bool
) -> Iterator[tuple[str, bytes]]:
    extent = 2 * dilation + 1
    same = (-(-9 // stride), -(-8 // stride))
    valid = ((9 - extent) // stride + 1, (8 - extent) // stride + 1)
    out = valid if padding else same
    label = f"{padding}{stride}{dilation}{many}{int(each)}"
    stride_of = {"padding": padding, "strideW": stride, "strideH": stride}
    dilation_of = {"dilationWFactor": dilation, "dilationHFactor": dilation}

    def layer(kernel: tuple[int, ...], channels: int, axis: int) -> tuple[Any, int, int, int]:
        o, s = OneOperator(), scale()
        x = o.tensor((1, 9, 8, 3), s, zero())
        scales = [scale() for _ in range(channels)] if each else [scale()]
        weights = RNG.integers(-127, 128, kernel).astype(np.int8)
        bias = RNG.integers(-999, 999, channels).astype(np.int32)
        w = o.tensor(kernel, scales, 0, weights, axis)
        return o, x, w, o.tensor((channels,), [s * v for v in scales], 0, bias)

    o, x, w, b = layer((1, 3, 3, 3 * many), 3 * many, 3)
    y = o.tensor((1, *out, 3 * many), 0.9, zero())
    chosen = options("DepthwiseConv2DOptions", **stride_of, **dilation_of, depthMultiplier=many)
    yield f"DEPTHWISE_{label}", o.content("DEPTHWISE_CONV_2D", [x, w, b], y, chosen)
    o, x, w, b = layer((6, 3, 3, 3), 6, 0)
    y = o.tensor((1, *out, 6), 0.9, zero())
    chosen = options("Conv2DOptions", **stride_of, **dilation_of, fusedActivationFunction=3)
    yield f"CONV_{label}", o.content("CONV_2D", [x, w, b], y, chosen)
    if dilation == many == 1:
        o, x, w, _ = layer((6, 3, 3, 3), 6, 0)
        larger = (8 * stride + 3, 7 * stride + 3) if padding else (9 * stride, 8 * stride)
        shape = o.tensor((4,), data=np.array([1, *larger, 6], np.int32))
        y = o.tensor((1, *larger, 6), 0.9, zero())
        chosen = options("TransposeConvOptions", **stride_of)
        yield f"TRANSPOSE_CONV_{label}", o.content("TRANSPOSE_CONV", [shape, w, x], y, chosen)


def means_and_sizes() -> Iterator[tuple[str, bytes]]:
    for i, shape in enumerate(((1, 6, 5, 7), (1, 2, 2, 3), (1, 13, 11, 4))):
        o = OneOperator()
        x = o.tensor(shape, scale(), zero())
        axes = o.tensor((2,), data=np.array([1, 2], np.int32))
        y = o.tensor((1, shape[3]), scale(), zero())
        yield f"MEAN_{i}", o.content("MEAN", [x, axes], y, options("ReducerOptions"))
    for align, half in ((False, False), (False, True), (True, False)):
        for size in ((14, 15), (5, 9), (3, 4)):
            o, s, z = OneOperator(), scale(), zero()
            x = o.tensor((1, 7, 5, 3), s, z)
            wanted = o.tensor((2,), data=np.array(size, np.int32))
            y = o.tensor((1, *size, 3), s, z)
            chosen = options("ResizeBilinearOptions", alignCorners=align, halfPixelCenters=half)
            label = f"BILINEAR_{align:d}{half:d}_{size[0]}"
            yield label, o.content("RESIZE_BILINEAR", [x, wanted], y, chosen)


def moves() -> Iterator[tuple[str, bytes]]:
    def case(
        name: str, shape: tuple[int, ...], chosen: Any, *constants: tuple[int, ...]
    ) -> tuple[str, bytes]:
        o = OneOperator()
        x = o.tensor((1, 8, 6, 3), 0.1, 3)
        rest = [o.tensor((len(c),), data=np.array(c, np.int32)) for c in constants]
        return name, o.content(name, [x, *rest], o.tensor(shape, 0.1, 3), chosen)

    yield case("SPACE_TO_DEPTH", (1, 4, 3, 12), options("SpaceToDepthOptions", blockSize=2))
    yield case("TRANSPOSE", (1, 6, 8, 3), options("TransposeOptions"), (0, 2, 1, 3))
    yield case("SLICE", (1, 3, 3, 2), options("SliceOptions"), (0, 1, 2, 0), (1, 3, 3, 2))
    yield case("STRIDED_SLICE", (1, 3, 3, 3), options("StridedSliceOptions"),
               (0, 1, 0, 0), (1, 7, 6, 3), (1, 2, 2, 1))  # fmt: skip
    nearest = options("ResizeNearestNeighborOptions", halfPixelCenters=True)
    yield case("RESIZE_NEAREST_NEIGHBOR", (1, 16, 18, 3), nearest, (16, 18))


FILES = {
    name.lower(): content
    for cases in (one_by_one, pairs, windows, means_and_sizes, moves)
    for name, content in cases()
}


@pytest.fixture(scope="module")
def inputs() -> dict[str, dict[str, np.ndarray]]:
    values = {}
    for name, content in FILES.items():
        values[name] = random_inputs(graph_of(content, MODEL), CASES)
        if values[name]["z"].shape[1] == 256:  # a function of one value: all of them
            values[name]["z"][0] = np.arange(-128, 128)
    return values


@pytest.fixture(scope="module")
def wanted(inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    results = {}
    for name, content in FILES.items():
        kernels = ReferenceKernels(content)
        cases = [
            kernels.integers(**{k: v[i] for k, v in inputs[name].items()})["x_logits"].ravel()
            for i in range(CASES)
        ]
        results[name] = np.stack(cases)
    return results


def test_numpy_computes_the_reference_kernels_integers(inputs, wanted) -> None:
    for name, content in FILES.items():
        graph = graph_of(content, MODEL)
        for i in range(CASES):
            got = emulate(graph, {k: v[i] for k, v in inputs[name].items()})["x_logits"]
            np.testing.assert_array_equal(got.ravel(), wanted[name][i], err_msg=name)


@pytest.mark.parametrize("name", ["gcc", "clang", "arm64", "riscv64", "wasm", "cortex-m4"])
def test_c_computes_the_reference_kernels_integers(
    name: str, inputs, wanted, tmp_path: Path
) -> None:
    machine = MACHINES[name]
    if machine.missing():
        pytest.skip(f"{machine.missing()} is not installed")
    got = Program(tmp_path, MODEL, FILES, machine)(inputs)
    for case in FILES:
        np.testing.assert_array_equal(got[case]["x_logits"], wanted[case], err_msg=case)
