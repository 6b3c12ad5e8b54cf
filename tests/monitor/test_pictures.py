"""Boxes, pictures and windows: against loops and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from cvae_edge.errors import DataError
from cvae_edge.monitor.pictures import boxes, overlay
from cvae_edge.monitor.windows import cut, enlarge, join, window_places, window_starts


@pytest.mark.parametrize("seed", range(20))
def test_boxes_are_those_of_the_connected_places(seed):
    rng = np.random.default_rng(seed)
    heat = (2 * rng.random((rng.integers(1, 30), rng.integers(1, 30)))).astype(np.float32)
    labels, n = ndimage.label(heat > 1)
    expected = {
        (place[1].start, place[0].start, place[1].stop, place[0].stop)
        for place in ndimage.find_objects(labels)
    }
    got = boxes(heat)
    assert len(got) == n
    assert {tuple(box[:4]) for box in got} == expected
    peaks = [box.peak for box in got]
    assert peaks == sorted(peaks, reverse=True)


def test_an_overlay_is_the_image_where_nothing_is_hot_and_red_where_it_is():
    image = np.full((20, 30, 1), 100, np.uint8)
    heat = np.zeros((20, 30), np.float32)
    heat[5:10, 12:20] = 3
    picture = overlay(image, heat)
    assert picture.shape == (20, 30, 3)
    assert (picture[:5] == 100).all()
    inside = picture[6, 14].astype(int)
    assert inside[0] > 150 > inside[1]
    assert picture[5, 12].tolist() == [230, 30, 20]  # the frame
    grey = overlay(image / 255, np.zeros((20, 30), np.float32))
    assert (grey == 100).all()


@pytest.mark.parametrize(("side", "window"), [(8, 8), (9, 8), (16, 8), (1024, 128), (130, 128)])
def test_windows_cover_a_side_and_overlap_by_half(side, window):
    starts = window_starts(side, window)
    assert starts[0] == 0
    assert starts[-1] == side - window
    assert all(0 < step <= window // 2 for step in np.diff(starts))


def test_windows_are_cut_and_joined_image_by_image():
    images = np.random.default_rng(0).random((3, 20, 12, 1)).astype(np.float32)
    windows = cut(images, (8, 8, 1))
    places = window_places((20, 12, 1), (8, 8, 1))
    assert windows.shape == (3 * len(places), 8, 8, 1)
    y, x = places[4]
    np.testing.assert_array_equal(windows[len(places) + 4], images[1, y : y + 8, x : x + 8])
    joined = join(windows[..., 0], (20, 12, 1), (8, 8, 1))
    np.testing.assert_allclose(joined, images[..., 0], rtol=1e-6)
    with pytest.raises(DataError, match="or be larger, got"):
        window_places((7, 12, 1), (8, 8, 1))


def test_maps_are_linear_between_the_middles_of_cells():
    maps = np.arange(3, dtype=np.float32)[np.newaxis, :, np.newaxis].repeat(3, axis=2)
    enlarged = enlarge(maps, (16, 16))
    np.testing.assert_allclose(enlarged[0, :, 5], enlarged[0, :, 9], atol=1e-6)
    np.testing.assert_allclose(enlarged[0, 7:9, 0].mean(), 1, atol=1e-6)
    assert enlarged[0, 0, 0] == 0
    assert enlarged[0, -1, 0] == 2
