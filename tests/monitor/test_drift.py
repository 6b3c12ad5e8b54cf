"""A day's scores beside those that a monitor was fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from cvae_edge import EdgeCVAE
from cvae_edge.errors import DataError
from cvae_edge.monitor.drift import measure_drift, read_scores


@pytest.mark.parametrize(
    ("alarms", "words"),
    [(50, "as the 5.00% that good"), (400, "look at them"), (0, "not those that the monitor")],
)
def test_drift_says_whether_alarms_are_as_many_as_good_images_give(monitored, alarms, words):
    scores = np.zeros(1000)
    scores[:alarms] = 1.5
    drift = measure_drift(scores, EdgeCVAE.load(monitored).monitor)
    assert (drift.images, drift.alarms, drift.share) == (1000, alarms, alarms / 1000)
    assert drift.interval[0] <= drift.share <= drift.interval[1]
    assert words in drift.sentence()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,elbo\na,1\n", "the columns score and anomalous"),
        ("", "the columns score and anomalous"),
        ("file,score,anomalous\na,x,True\n", "must hold numbers"),
        ("file,score,anomalous\na,nan,True\n", "finite"),
        ("file,score,anomalous,error\na,,,broken\n", "finite scores, got 0"),
    ],
)
def test_what_is_no_list_of_scores_is_refused(tmp_path, text, words):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_scores(tmp_path / "s.csv")
