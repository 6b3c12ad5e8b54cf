"""Keras models as graphs: the calls of their layers in order, and how a pass rewrites them.

Keras is the intermediate representation. A pass is a function from a functional Keras model to a
functional Keras model that computes the same. It finds its places by walking the graph: what a
layer takes, what takes its output. A layer's name identifies it and means nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import tree

Values = tuple[Any, ...]


@dataclass(frozen=True)
class Call:
    """One call of a layer: symbolic tensors in, symbolic tensors out."""

    layer: Any
    args: Values
    kwargs: dict[str, Any]
    outputs: Values

    @property
    def inputs(self) -> list[keras.KerasTensor]:
        """The tensors among the arguments."""
        return [t for t in tree.flatten((self.args, self.kwargs)) if is_tensor(t)]

    @property
    def output(self) -> keras.KerasTensor:
        """The only output."""
        (output,) = self.outputs
        return output


# Called with a call and its arguments, rebuilt; returns the outputs, rebuilt.
Rule = Callable[..., Any]


class Graph:
    """The calls of a functional model, each after those that it takes something from."""

    def __init__(self, model: keras.Model) -> None:
        self.model = functional(model)
        self.calls: list[Call] = []
        clone = keras.models.clone_model(
            self.model, clone_function=lambda layer: layer, call_function=self._record
        )
        self.inputs = list(clone.inputs)
        self.outputs = clone.output  # a tensor, or tensors by name
        self._makers = {id(t): call for call in self.calls for t in call.outputs}
        self._users: dict[int, list[Call]] = {}
        for call in self.calls:
            for tensor in call.inputs:
                self._users.setdefault(id(tensor), []).append(call)

    def _record(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = layer(*args, **kwargs)
        self.calls.append(Call(layer, args, kwargs, tuple(tree.flatten(outputs))))
        return outputs

    def maker(self, tensor: keras.KerasTensor) -> Call | None:
        """Return the call that gives ``tensor``; None for an input of the model."""
        return self._makers.get(id(tensor))

    def users(self, call: Call) -> list[Call]:
        """Return the calls that take the output of ``call``."""
        return [user for tensor in call.outputs for user in self.users_of(tensor)]

    def users_of(self, tensor: keras.KerasTensor) -> list[Call]:
        """Return the calls that take ``tensor``."""
        return self._users.get(id(tensor), [])

    def is_output(self, call: Call) -> bool:
        """Whether the model gives the output of ``call``."""
        given = {id(tensor) for tensor in tree.flatten(self.outputs)}
        return any(id(tensor) in given for tensor in call.outputs)

    def only_user(self, call: Call) -> Call | None:
        """Return the call that alone takes the output of ``call``; None if there is no such."""
        users = self.users(call)
        return users[0] if len(users) == 1 and not self.is_output(call) else None

    def rebuild(self, rule: Rule, on_input: Callable[[Any], Any] = lambda x: x) -> keras.Model:
        """Return the model with ``rule(call, *args, **kwargs)`` in place of every call.

        ``on_input(x)`` takes the place of every input x.
        """
        inputs = [keras.Input(t.shape[1:], dtype=t.dtype, name=t.name) for t in self.inputs]
        outputs = self.run([on_input(x) for x in inputs], rule)
        return keras.Model(
            {t.name: t for t in inputs}, tree.map_structure(whole, outputs), name=self.model.name
        )

    def run(self, inputs: list[Any], rule: Rule) -> Any:
        """Return the outputs, rebuilt on ``inputs`` by ``rule``; values may wait (``Lazy``)."""
        values = {id(old): new for old, new in zip(self.inputs, inputs, strict=True)}

        def fill(structure: Any) -> Any:
            return tree.map_structure(
                lambda t: values[id(t)] if is_tensor(t) else t, structure, none_is_leaf=True
            )

        for call in self.calls:
            result = rule(call, *fill(call.args), **fill(call.kwargs))
            flat = [result] if isinstance(result, Lazy) else tree.flatten(result)
            values |= {id(old): new for old, new in zip(call.outputs, flat, strict=True)}
        return fill(self.outputs)


class Lazy:
    """A tensor that is not yet computed, as what takes it may take its parts more cheaply."""

    def whole(self) -> Any:
        """Return the tensor."""
        raise NotImplementedError


def whole(value: Any) -> Any:
    """Return a value as a tensor, or as it is."""
    return value.whole() if isinstance(value, Lazy) else value


def is_tensor(value: Any) -> bool:
    """Whether ``value`` is a symbolic tensor."""
    return isinstance(value, keras.KerasTensor)


def keep(call: Call, *args: Any, **kwargs: Any) -> Any:
    """Call the layer as it was called; the rule that changes nothing."""
    args, kwargs = tree.map_structure(whole, (args, kwargs), none_is_leaf=True)
    return call.layer(*args, **kwargs)


def functional(model: keras.Model) -> keras.Model:
    """Return a sequential model as a functional one; others as they are."""
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs, model.outputs, name=model.name)
    return model
