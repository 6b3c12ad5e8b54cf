"""Int8 by simulation: equalization and ranges, chosen by the ELBO on validation images.

A network that rounds its kernels and activations computes what the integer file will, up to the
rounding inside integer kernels; see ``passes.quantize``. So choosing needs no conversion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras

from cvae_edge.codec import Graph
from cvae_edge.elbo import Array
from cvae_edge.exporters.calibration import candidates
from cvae_edge.exporters.passes.equalize import equalize
from cvae_edge.exporters.passes.lower import lower
from cvae_edge.exporters.passes.quantize import (
    Range,
    Scheme,
    mark,
    marked,
    observe,
    output_names,
    rounding,
    with_own_kernels,
)
from cvae_edge.exporters.subject import Subject
from cvae_edge.training.evaluate import as_graph

_ALPHAS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class IntegerPlan:
    """A network with its activations marked, and how that was chosen."""

    network: keras.Model  # lowered; no other network has its kernels
    choices: dict[str, str]  # by activation the method, and "equalization"
    steps: dict[str, float]  # by output, what one integer is worth


def simulate(network: keras.Model, scheme: Scheme) -> Graph:
    """Return a marked and lowered network with its kernels rounded, as they are at each call."""
    return as_graph(network, lambda: rounding(scheme, network))


def plan_integers(
    subject: Subject, role: str, scheme: Scheme, lowering: str, inputs: Mapping[str, Array]
) -> IntegerPlan:
    """Choose the equalization first, then one activation's range after the other.

    Args:
        subject: the trained model and its data.
        role: encoder or decoder.
        scheme: what the format does.
        lowering: the network's.
        inputs: the calibration set.
    """
    network = subject.networks[role]
    own = {t.name: inputs[t.name] for t in network.inputs}
    values = observe(network, own)
    plain = _Simulation(subject, role, scheme, network, lowering, values)
    # First the logits': most depends on it, and what it costs would hide what all else does.
    choices = plain.choose_ranges([name for name in plain.choices if name == plain.logits])
    simulations = {"none": plain}
    for alpha in _ALPHAS:
        trial = equalize(network, values, alpha)
        simulations[f"alpha {alpha:g}"] = _Simulation(
            subject, role, scheme, trial, lowering, observe(trial, own), choices
        )
    scores = {name: simulation.elbo() for name, simulation in simulations.items()}
    best = max(scores, key=lambda name: scores[name])
    chosen = simulations[best]
    choices = chosen.choose_ranges(list(chosen.choices))
    ranges = chosen.ranges()
    steps = {
        output: (ranges[name][1] - ranges[name][0]) / 255
        for output, name in output_names(network).items()
        if name in ranges
    }
    network = with_own_kernels(lower(mark(chosen.network, ranges)[0], lowering))
    return IntegerPlan(network, {"equalization": best, **choices}, steps)


class _Simulation:
    """A network with rounded kernels and activations, whose ranges can be changed."""

    def __init__(
        self,
        subject: Subject,
        role: str,
        scheme: Scheme,
        network: keras.Model,
        lowering: str,
        values: Mapping[str, Array],
        choices: Mapping[str, str] | None = None,
    ) -> None:
        """Take a network, its activations on the calibration set, and ranges to begin with."""
        self.network = network
        self.logits = output_names(network).get("x_logits")
        self._candidates = {
            name: candidates(values[name], is_logits=name == self.logits)
            for name in marked(network, scheme)
        }
        first = {name: next(iter(ranges)) for name, ranges in self._candidates.items()}
        self.choices = {**first, **(choices or {})}
        marks, self._marks = mark(network, self.ranges())
        self._codec = subject.with_half(role, simulate(lower(marks, lowering), scheme))
        self._subject = subject

    def elbo(self) -> float:
        """The ELBO on the images that choose."""
        return self._subject.choosing_elbo(self._codec)

    def ranges(self) -> dict[str, Range]:
        """The ranges that are chosen now."""
        return {name: self._candidates[name][method] for name, method in self.choices.items()}

    def choose_ranges(self, names: Sequence[str]) -> dict[str, str]:
        """Try every method for each of these activations in turn; return the best of each."""
        elbo = self.elbo()
        for name in names:
            for method, candidate in self._candidates[name].items():
                if method == self.choices[name]:
                    continue
                self._marks[name].set_range(*candidate)
                trial = self.elbo()
                if trial > elbo:
                    elbo, self.choices[name] = trial, method
            self._marks[name].set_range(*self.ranges()[name])
        return {name: self.choices[name] for name in names}
