"""What there is to warn of when all images were read."""

from __future__ import annotations

import warnings

from cvae_edge.errors import DataWarning
from cvae_edge.fitting import listed, warn_of_blanks, warn_of_masks
from cvae_edge.preprocess import Pixels
from cvae_edge.runtime.pieces import Images


class _Tally:
    """How many files something holds for, and the first of them."""

    def __init__(self) -> None:
        self.n, self._first, self._last = 0, "", ""

    def add(self, name: str) -> None:
        """Count a file once, of which several pieces may come after each other."""
        self._first = self._first or name
        self.n += name != self._last
        self._last = name

    def __str__(self) -> str:
        return listed(self._first, self.n)


class Notes:
    """Warnings of a stream of images, collected piece by piece."""

    def __init__(self, pixels: Pixels) -> None:
        """Take what images become."""
        self.broken: list[str] = []
        self._reasons: list[str] = []
        self._pixels = pixels
        self._masks, self._blanks = _Tally(), _Tally()

    def take(self, read: Images) -> None:
        """Remember the warnings that a piece gives rise to."""
        name = read.piece.file.name
        if read.images is None:
            self.broken.append(name)
            self._reasons.append(read.error)
        if read.is_mask:
            self._masks.add(name)
        if read.is_blank:
            self._blanks.add(name)

    def warn(self) -> None:
        """Give the warnings."""
        for reason in self._reasons:
            warnings.warn(f"skipped: {reason}", DataWarning, stacklevel=2)
        if self._blanks.n:
            warn_of_blanks(str(self._blanks), self._pixels)
        if self._masks.n:
            warn_of_masks(str(self._masks))
