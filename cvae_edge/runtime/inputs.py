"""Images and latents from what a command line names, all at once or a chunk at a time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvae_edge.array_files import ArrayFile
from cvae_edge.codec import Array
from cvae_edge.errors import DataError
from cvae_edge.fitting import is_bright
from cvae_edge.image_files import require_few_broken
from cvae_edge.preprocess import Pixels, to_float
from cvae_edge.runtime.arguments import as_latents
from cvae_edge.runtime.notes import Notes
from cvae_edge.runtime.pieces import Images, Piece, PieceReader, pick_array
from cvae_edge.runtime.sources import Sources, open_source

_FIRST_TIME = "the images must be those of the first time"
_CHUNK, _CHUNK_BYTES = 512, 1 << 25  # images, and bytes of them as float32, that are run together


class NamedImages(NamedTuple):
    """Images and what to call each."""

    names: list[str]
    images: NDArray[Any]  # (n, h, w, c), uint8 or float32; those that are not broken
    broken: dict[int, str]  # by index in ``names``: why an image has none

    def in_rows(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values (n, ...) of the images as a row a name: NaN where an image is broken."""
        if not self.broken:
            return values
        rows = np.full((len(self.names), *values.shape[1:]), np.nan, values.dtype)
        rows[self.kept()] = values
        return rows

    def kept(self) -> list[int]:
        """Return the indices in ``names`` of those that are not broken."""
        return [i for i in range(len(self.names)) if i not in self.broken]


class ImageStream:
    """The images that a model takes, of any number of files, a chunk at a time.

    Files are read by a few threads, ahead of what is run. Memory does not grow with their number,
    except by the names in the largest folder. Every iteration reads them anew.
    """

    def __init__(
        self,
        sources: Sequence[str],
        pixels: Pixels,
        resize: bool = False,
        on_file: Callable[[int, int | None], None] = lambda done, total: None,
        skip_broken: bool = False,
        chunk: int = _CHUNK,
        done: Iterable[str] = (),
    ) -> None:
        """Look which files there are.

        Args:
            sources: image files; folders, of which every image is read, subfolders too, by path;
                .tar and .tar.gz archives of images; .npy and .npz files; or - for standard input,
                which holds one image, .npy or .npz.
            pixels: what the model takes, and how images become that.
            resize: make images of other sizes fit, as ``pixels`` says; other channels always are.
            on_file: called after each file with the files read and their total; None: not known.
            skip_broken: go on where up to 5% of the image files cannot be read.
            chunk: images in a chunk, at most; fewer if they are large.
            done: names of the first images, which are left out. ``skipped`` says how many that
                are: where they end within a part of an array that is read at once, up to it.

        Raises:
            DataError: a source is not there, or holds no images; or ``done`` are not the first.
        """
        most = max(1, min(chunk, _CHUNK_BYTES // (4 * math.prod(pixels.image_shape))))
        self._sources, self._reader = Sources(sources), PieceReader(pixels, resize, most)
        self._pixels, self._on_file, self._skip_broken = pixels, on_file, skip_broken
        self._most, self._total = most, self._sources.count()
        self.skipped = self._skipped_pieces = self._skipped_files = 0
        self._skip(iter(done))

    def inputs(self) -> Iterator[str]:
        """Give the names of the files on the disk that are read."""
        return self._sources.inputs()

    def paths(self) -> Iterator[str]:
        """Give each image's path within the folder or archive that was named, broken ones too."""
        for piece in self._reader.cut(self._sources.files()):
            yield from (f"{piece.file.path}{number}" for number in piece.numbers)

    def _skip(self, done: Iterator[str]) -> None:
        pieces = self._reader.cut(self._sources.files())
        for name in done:
            piece = next(pieces, None)
            if piece is None:
                raise DataError(f"{_FIRST_TIME}: {name} is missing now")
            now = piece.names
            was = [name, *islice(done, len(now) - 1)]
            for a, b in zip(was, now, strict=False):  # what is done may end within a piece
                if a != b:
                    raise DataError(f"{_FIRST_TIME}: {a} was where {b} is now")
            if len(was) < len(now):
                return
            self.skipped += len(now)
            self._skipped_pieces += 1
            self._skipped_files += piece.is_last

    def _pieces(self) -> Iterator[Piece]:
        """Give the pieces that are not left out."""
        return islice(self._reader.cut(self._sources.files()), self._skipped_pieces, None)

    def __iter__(self) -> Iterator[NamedImages]:
        """Give chunks of images; in each is at least one that is not broken. None if all are done.

        Warns:
            DataWarning: after the last file: an image was skipped; and see ``fit_images`` and
                ``read_image``.

        Raises:
            DataError: something cannot be read, or is not what the model takes.
        """
        chunk: list[Images] = []
        n, done = 0, self._skipped_files
        notes = Notes(self._pixels)
        strict = self._total == 1 or not self._skip_broken
        for read in self._reader.read(self._pieces(), self._are_masks(), strict):
            more = 0 if read.images is None else len(read.images)
            if n and more and n + more > self._most:
                yield _named(chunk)
                chunk, n = [], 0
            chunk.append(read)
            n += more
            notes.take(read)
            if read.images is None and self._total is not None:
                require_few_broken(notes.broken, self._total)
            if read.piece.is_last:
                done += 1
                self._on_file(done, self._total)
        require_few_broken(notes.broken, done)
        notes.warn()
        if chunk:
            yield _named(chunk)

    def _are_masks(self) -> bool:
        """Whether all images together are masks: usually the first one tells that they are not."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a file is warned of when it is read
            for piece in self._reader.cut(self._sources.files()):
                with suppress(DataError):
                    if is_bright(piece.read()):
                        return False
        return True

    def first_shape(self) -> tuple[int, int, int]:
        """Return the shape of the first of the images, in the channels of ``pixels``.

        Raises:
            DataError: it cannot be read.
        """
        first = next(self._reader.cut(self._sources.files()))
        height, width = first.read().shape[1:3]
        return height, width, self._pixels.image_shape[2]


def read_images(
    sources: Sequence[str],
    pixels: Pixels,
    resize: bool = False,
    on_file: Callable[[int, int | None], None] = lambda done, total: None,
    skip_broken: bool = False,
) -> NamedImages:
    """Read all images together; see ``ImageStream``."""
    chunks = list(ImageStream(sources, pixels, resize, on_file, skip_broken))
    names: list[str] = []
    broken: dict[int, str] = {}
    for chunk in chunks:
        broken |= {len(names) + i: reason for i, reason in chunk.broken.items()}
        names += chunk.names
    return NamedImages(names, _joined([chunk.images for chunk in chunks]), broken)


def read_latents(source: str, latent_dim: int) -> Array:
    """Read latents from an .npy or .npz file (its ``z`` or ``mean``), or from - standard input.

    Raises:
        DataError: it cannot be read, or does not hold floating point (n, latent_dim).
    """
    with open_source(source) as content:
        try:
            return as_latents(pick_array(ArrayFile(content), ("z", "mean")), latent_dim)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error


def _named(chunk: Sequence[Images]) -> NamedImages:
    names: list[str] = []
    broken: dict[int, str] = {}
    for read in chunk:
        if read.images is None:
            broken[len(names)] = read.error
        names += read.piece.names
    return NamedImages(names, _joined([r.images for r in chunk if r.images is not None]), broken)


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return images together, in one type."""
    if len(parts) == 1:
        return parts[0]
    mixed = len({part.dtype for part in parts}) > 1
    return np.concatenate([to_float(part) for part in parts] if mixed else parts)
