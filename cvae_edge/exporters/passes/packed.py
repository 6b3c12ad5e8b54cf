"""Images whose pixels are computed and not yet in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import layers

from cvae_edge.exporters.passes.graph import Call, Lazy
from cvae_edge.exporters.passes.layers import DepthToSpace, Reshape, crop


@dataclass(frozen=True)
class Packed(Lazy):
    """The pixels of s x t blocks, side by side, before they are put in place."""

    parts: list[Any]  # each (n, h, w, c): one a phase, or one for all with s * t * c channels
    block: tuple[int, int]
    size: tuple[int, int]  # height and width once they are in place
    pending: tuple[Call, ...] = ()  # what works value by value may come before or after

    def packed(self) -> Any:
        """Return (n, h, w, s * t * c)."""
        return self._finish(self.parts[0] if len(self.parts) == 1 else _concatenate(self.parts, -1))

    def whole(self) -> Any:
        """Return (n, height, width, c)."""
        s, t = self.block
        if len(self.parts) == s * t:
            h = _interleave(self.parts, s, t)
        else:
            h = DepthToSpace(s)(self.parts[0])
        spare = [got - wanted for got, wanted in zip(h.shape[1:3], self.size, strict=True)]
        return self._finish(crop(h, tuple((0, n) for n in spare)))

    @property
    def is_even(self) -> bool:
        """Whether the blocks cover the image and no more, and are square."""
        cells = self.parts[0].shape[1:3]
        covered = tuple(b * n for b, n in zip(self.block, cells, strict=True))
        return covered == self.size and self.block[0] == self.block[1]

    def _finish(self, h: Any) -> Any:
        for call in self.pending:
            h = call.layer(h)
        return h


@dataclass(frozen=True)
class Upsampled(Lazy):
    """Nearest upsampling that has not been done."""

    small: Any
    call: Call

    def whole(self) -> Any:
        """Return it, upsampled."""
        return self.call.layer(self.small)


def _interleave(parts: list[Any], s: int, t: int) -> Any:
    """Put s * t phases (n, h, w, c) in place, (n, s * h, t * w, c).

    Side by side in memory, a row's pixels' channels are the pixels of a row t times as long, and s
    rows are rows of an image s times as high: this joins long runs of bytes, where onnxruntime's
    DepthToSpace moves one value at a time.
    """
    height, width, channels = parts[0].shape[1:]
    rows = []
    for p in range(s):
        row = _concatenate(parts[p * t : (p + 1) * t], -1)
        rows.append(Reshape((height, t * width * channels))(row))
    both = _concatenate(rows, -1)
    return Reshape((s * height, t * width, channels))(both)


def _concatenate(parts: list[Any], axis: int) -> Any:
    return layers.Concatenate(axis)(parts) if len(parts) > 1 else parts[0]
