from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cvae_edge.errors import ConfigError
from cvae_edge.exporters.calibration import calibration_set, candidates, entropy_range
from cvae_edge.exporters.subject import load_subject
from cvae_edge.training.run import Run


def test_calibration_set_is_training_images_and_both_kinds_of_latents(tiny_run: Path) -> None:
    subject = load_subject(Run.open(tiny_run))
    first, second = calibration_set(subject, 50), calibration_set(subject, 50)
    assert first["x"].shape == (50, 12, 16, 1)
    assert first["z"].shape == (70, 3)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    train = {image.tobytes() for image in subject.dataset.train.images}
    assert all((255 * x).astype(np.uint8).tobytes() in train for x in first["x"])


def test_an_empty_calibration_set_is_refused(tiny_run: Path) -> None:
    with pytest.raises(ConfigError, match="calibration_samples must be at least 1, got 0"):
        calibration_set(load_subject(Run.open(tiny_run)), 0)


def test_every_range_holds_zero_and_min_max_holds_everything() -> None:
    values = np.random.default_rng(0).normal(3, 1, 10_000).astype(np.float32)
    ranges = candidates(values, is_logits=True)
    assert ranges["min-max"] == (float(values.min()), float(values.max()))
    assert candidates(values + 10, is_logits=False)["min-max"][0] == 0
    assert all(low <= 0 < high for low, high in ranges.values())
    assert ranges["symmetric min-max"] == (-values.max(), values.max())


def test_entropy_clips_a_lone_outlier() -> None:
    values = np.abs(np.random.default_rng(0).normal(size=100_000)).astype(np.float32)
    values[0] = 1000
    low, high = entropy_range(values)
    assert low == 0
    assert 3 < high < 500


def test_an_activation_that_is_always_0_still_has_a_range() -> None:
    assert candidates(np.zeros(10, np.float32), is_logits=False) == {"min-max": (0.0, 1.0)}


def test_logits_of_many_white_pixels_get_a_range_that_leaves_them_out() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 2, 20_000), rng.normal(25, 8, 20_000)]).astype("f")

    def error(low: float, high: float) -> float:
        """Mean square error of the image, in grey levels, of 8 bits from low to high."""
        step = (high - low) / 255
        zero = np.rint(-low / step)
        rounded = (np.clip(np.rint(values / step) + zero, 0, 255) - zero) * step
        image = [1 / (1 + np.exp(-np.float64(v))) for v in (values, rounded)]
        return float(np.square(255 * (image[0] - image[1])).mean())

    errors = {name: error(*r) for name, r in candidates(values, is_logits=True).items()}
    assert errors["min-max"] > 5
    assert min(errors.values()) < 0.3
    assert min(errors, key=lambda name: errors[name]) in ("half a level", "an eighth of a level")
