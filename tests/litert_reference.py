"""A TFLite file through LiteRT's reference kernels, which the C code must equal to the bit."""

from __future__ import annotations

import copy
import re
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

NAMES = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}


class ReferenceKernels:
    """Runs a file on inputs by name, one image at a time.

    LiteRT's table of reference kernels lacks a few operators that only move values, or are taken
    one by one in floating point. Those run alone, on its other kernels, between the parts of the
    file before and after them.
    """

    def __init__(self, content: bytes) -> None:
        self._model = schema.ModelT.InitFromPackedBuf(content, 0)
        self._graph = self._model.subgraphs[0]
        signature = self._model.signatureDefs[0]
        self.inputs, self.outputs = (
            {m.name.decode(): m.tensorIndex for m in maps}
            for maps in (signature.inputs, signature.outputs)
        )
        self._parts = self._split(self._lacking(content))

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        values = {self.inputs[name]: x for name, x in inputs.items()}
        for interpreter, taken, given in self._parts:
            for details, number in zip(interpreter.get_input_details(), taken, strict=True):
                interpreter.set_tensor(details["index"], values[number])
            interpreter.invoke()
            for details, number in zip(interpreter.get_output_details(), given, strict=True):
                values[number] = interpreter.get_tensor(details["index"])
        return {name: values[number] for name, number in self.outputs.items()}

    def integers(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Run on int8 values, and return int8 values, whatever the file's borders are."""
        real = {name: self._to_real(name, q) for name, q in inputs.items()}
        return {name: self._to_integers(name, y) for name, y in self(**real).items()}

    def _to_real(self, name: str, q: np.ndarray) -> np.ndarray:
        tensor = self._graph.tensors[self.inputs[name]]
        q = q.reshape(tensor.shape)
        if tensor.type == schema.TensorType.INT8:
            return q
        scale, zero = self._scale(self._user(self.inputs[name]).outputs[0])
        return scale * (q.astype(np.float32) - zero)

    def _to_integers(self, name: str, y: np.ndarray) -> np.ndarray:
        if y.dtype == np.int8:
            return y
        scale, zero = self._scale(self._maker(self.outputs[name]))
        return (np.rint(y / scale) + zero).astype(np.int8)

    def _scale(self, number: int) -> tuple[np.float32, np.float32]:
        quantization = self._graph.tensors[number].quantization
        return np.float32(quantization.scale[0]), np.float32(quantization.zeroPoint[0])

    def _user(self, number: int) -> Any:
        return next(o for o in self._graph.operators if number in o.inputs)

    def _maker(self, number: int) -> int:
        """Return the int8 tensor that a float output was made of."""
        while self._graph.tensors[number].type != schema.TensorType.INT8:
            number = next(o for o in self._graph.operators if number in o.outputs).inputs[0]
        return number

    def _name(self, operator: Any) -> str:
        code = self._model.operatorCodes[operator.opcodeIndex]
        return NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def _lacking(self, content: bytes) -> set[str]:
        lacking: set[str] = set()
        while True:
            kept = [o for o in self._graph.operators if self._name(o) not in lacking]
            used = {o.opcodeIndex for o in kept}
            model = copy.copy(self._model)
            model.operatorCodes = [
                c if i in used else self._model.operatorCodes[kept[0].opcodeIndex]
                for i, c in enumerate(self._model.operatorCodes)
            ]
            model.signatureDefs = []
            model.subgraphs = [copy.copy(self._graph)]
            model.subgraphs[0].operators = kept
            try:
                Interpreter(
                    model_content=packed(model),
                    experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
                )
                return lacking
            except ValueError as error:
                found = re.search("builtin opcode '(\\w+)'", str(error))
                if found is None:
                    raise
                lacking.add(found[1])

    def _split(self, lacking: set[str]) -> list[tuple[Any, list[int], list[int]]]:
        groups: list[tuple[bool, list[Any]]] = []
        for operator in self._graph.operators:
            alone = self._name(operator) in lacking
            if alone or not groups or groups[-1][0]:
                groups.append((alone, []))
            groups[-1][1].append(operator)
        made = [{int(i) for o in ops for i in o.outputs} for _, ops in groups]
        needed = [
            {int(i) for o in ops for i in o.inputs if i >= 0 and not self._is_constant(i)}
            for _, ops in groups
        ]
        parts = []
        for k, (alone, operators) in enumerate(groups):
            later = set().union(*needed[k + 1 :], self.outputs.values())
            taken, given = sorted(needed[k] - made[k]), sorted(made[k] & later)
            if given:
                parts.append((self._open(operators, taken, given, alone), taken, given))
        return parts

    def _is_constant(self, number: int) -> bool:
        data = self._model.buffers[self._graph.tensors[number].buffer].data
        return data is not None and len(data) > 0

    def _open(self, operators: list[Any], taken: list[int], given: list[int], alone: bool) -> Any:
        model = copy.copy(self._model)
        used = sorted({o.opcodeIndex for o in operators})
        model.operatorCodes = [self._model.operatorCodes[i] for i in used]
        model.signatureDefs = []
        model.subgraphs = [copy.copy(self._graph)]
        graph = model.subgraphs[0]
        graph.operators = [copy.copy(o) for o in operators]
        for operator in graph.operators:
            operator.opcodeIndex = used.index(operator.opcodeIndex)
        graph.inputs, graph.outputs = taken, given
        interpreter = Interpreter(
            model_content=packed(model),
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            if alone
            else OpResolverType.BUILTIN_REF,
        )
        interpreter.allocate_tensors()
        return interpreter


def packed(model: Any) -> bytes:
    """Return a model's bytes."""
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
