"""Where an image is not as good ones are: pictures, and boxes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array
from cvae_edge.images import over_white, to_pixels

_HOT = np.array([230, 30, 20], np.float32)
_STRONGEST = 0.6  # share of the colour where heat is twice what good images show, or more


class Box(NamedTuple):
    """A connected place above the threshold, in pixels; right and bottom are beyond it."""

    left: int
    top: int
    right: int
    bottom: int
    peak: float  # the largest heat in it


def boxes(heat: Array) -> list[Box]:
    """Return the boxes of the connected places of heat (h, w) above 1, hottest first."""
    labels = _connected(heat > 1)
    found = []
    for label in np.unique(labels[labels > 0]):
        rows, columns = np.nonzero(labels == label)
        peak = round(float(heat[rows, columns].max()), 4)
        left, top = int(columns.min()), int(rows.min())
        found.append(Box(left, top, int(columns.max()) + 1, int(rows.max()) + 1, peak))
    return sorted(found, key=lambda box: -box.peak)


def overlay(image: NDArray[Any], heat: Array) -> NDArray[np.uint8]:
    """Return an image (h, w, c) in colour, reddened where it is hot, with a frame a box."""
    pixels = over_white(to_pixels(image))
    colour = np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(np.float32)
    share = (_STRONGEST * np.clip(heat - 0.5, 0, 1.5) / 1.5)[..., np.newaxis]
    colour = colour * (1 - share) + _HOT * share
    for box in boxes(heat):
        frame = colour[box.top : box.bottom, box.left : box.right]
        frame[[0, -1]] = _HOT
        frame[:, [0, -1]] = _HOT
    return to_pixels(colour / 255)


def _connected(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Label the places of a mask that touch by an edge, from 1; 0 outside.

    Each pixel takes the largest number of its run in a row and in a column, until none changes.
    """
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        spread = _largest_of_runs(_largest_of_runs(labels).T).T
        if (spread == labels).all():
            return labels
        labels = spread


def _largest_of_runs(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each label above 0 the largest of its run along the row."""
    flat = np.pad(labels, ((0, 0), (0, 1))).ravel()  # a 0 ends each row
    inside = flat > 0
    starts = np.flatnonzero(inside & ~np.roll(inside, 1))
    if not len(starts):
        return labels
    run = np.cumsum(inside & ~np.roll(inside, 1)) - 1
    largest = np.maximum.reduceat(flat, starts)
    spread = np.where(inside, largest[np.maximum(run, 0)], 0)
    return spread.reshape(len(labels), -1)[:, :-1]
