"""The choice of an integer file's equalization and ranges."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvae_edge.exporters.calibration import calibration_set
from cvae_edge.exporters.int8 import plan_integers, simulate
from cvae_edge.exporters.passes.quantize import Scheme
from cvae_edge.exporters.subject import Subject, load_subject
from cvae_edge.training.run import Run


def test_the_best_of_all_that_was_tried_is_taken(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, tried = load_subject(Run.open(tiny_run)), []
    measure = Subject.choosing_elbo

    def remember(self, codec):
        tried.append(measure(self, codec))
        return tried[-1]

    monkeypatch.setattr(Subject, "choosing_elbo", remember)
    monkeypatch.setattr("cvae_edge.exporters.int8._ALPHAS", (0.5,))
    scheme = Scheme(conv_levels=127)
    plan = plan_integers(subject, "decoder", scheme, "polyphase", calibration_set(subject, 100))
    assert len(set(tried)) > 5
    first, second = tried[:2]  # without equalization, and with it
    assert plan.choices["equalization"] == ("none" if first > second else "alpha 0.5")
    chosen = subject.with_half("decoder", simulate(plan.network, scheme))
    assert measure(subject, chosen) == pytest.approx(max(tried), abs=1e-4)
    assert max(tried) > min(tried) + 0.01
