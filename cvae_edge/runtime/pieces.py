"""Images out of files, some at a time: read and fitted by a few threads, in the files' order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvae_edge.array_files import ArrayFile
from cvae_edge.errors import DataError
from cvae_edge.fitting import fit_part, whiten_mask
from cvae_edge.image_files import read_image, strictness
from cvae_edge.images import check_images
from cvae_edge.preprocess import Pixels
from cvae_edge.runtime.arguments import as_batch, is_one
from cvae_edge.runtime.parallel import available_cores
from cvae_edge.runtime.sources import File

KEYS = ("x", "x_recon")  # of an .npz with images
_THREADS = 4  # at most
_GROUP, _GROUP_BYTES = 16, 1 << 20  # files that a thread takes at once, and bytes of an archive
_AHEAD_BYTES = 1 << 26  # of an archive that are held, not yet read as images


class Piece(NamedTuple):
    """An image file, or some of an array's images; not yet read."""

    file: File
    rows: slice | None = None  # of an array; None: it is an image
    array: NDArray[Any] | None = None  # those rows' images; None: they are in the file
    is_last: bool = True  # of its file

    @property
    def names(self) -> list[str]:
        """What to call its images."""
        return [f"{self.file.name}{number}" for number in self.numbers]

    @property
    def numbers(self) -> list[str]:
        """What comes after the file's name, an image."""
        return [""] if self.rows is None else [f"[{i}]" for i in _range(self.rows)]

    def read(self) -> NDArray[Any]:
        """Return its images (n, h, w, c), of their own size and channels.

        Raises:
            DataError: it cannot be read.
        """
        if self.array is not None:
            return self.array
        with self.file.open() as content:
            try:
                if self.rows is None:
                    return read_image(content, self.file.name)[np.newaxis]
                rows = ArrayFile(content).rows(self.rows.start, self.rows.stop)
                return check_images(rows)
            except DataError as error:
                raise DataError(f"{self.file.name}: {error}") from error


class Images(NamedTuple):
    """A piece, read."""

    piece: Piece
    images: NDArray[Any] | None  # (n, h, w, c), fitted; None: it is broken
    error: str = ""  # why
    is_blank: bool = False  # transparent, and blank on the background
    is_mask: bool = False  # it was, and is black and white now


class PieceReader:
    """Cuts files into pieces, and reads these."""

    def __init__(self, pixels: Pixels, resize: bool, most: int) -> None:
        """Take what images shall become, and how many of an array to take at a time."""
        self._pixels, self._option = pixels, None if resize else "--resize"
        self._most = most
        self._held: tuple[str, NDArray[Any]] | None = None  # the last array that had to be whole

    def cut(self, files: Iterable[File]) -> Iterator[Piece]:
        """Give the pieces of files.

        Raises:
            DataError: an array is none of images.
        """
        for file in files:
            if not file.is_array():
                yield Piece(file)
                continue
            try:
                n, array = self._open_array(file)
            except DataError as error:
                raise DataError(f"{file.name}: {error}") from error
            for low in range(0, n, self._most):
                rows = slice(low, min(low + self._most, n))
                part = None if array is None else array[rows]
                yield Piece(file, rows, part, rows.stop == n)

    def _open_array(self, file: File) -> tuple[int, NDArray[Any] | None]:
        """Return how many images there are and, where it cannot be read by rows, all of them."""
        if self._held is not None and self._held[0] == file.name:
            return len(self._held[1]), self._held[1]
        with file.open() as content:
            arrays = ArrayFile(content)
            if arrays.names is None:
                shape, is_fortran, _ = arrays.header()
                if not is_fortran and _has_rows(shape, self._pixels.image_shape):
                    return shape[0], None
            images = as_batch(pick_array(arrays, KEYS), self._pixels.image_shape)
        self._held = file.name, images
        return len(images), images

    def read(self, pieces: Iterable[Piece], masks: bool, strict: bool) -> Iterator[Images]:
        """Give what is read of pieces, in their order.

        Args:
            pieces: to read.
            masks: their images are masks, all of them.
            strict: raise the error of a file that is broken, one file at a time.

        Raises:
            DataError: an array cannot be read, or images have another size than is taken.
        """

        def read_all(group: Sequence[Piece]) -> list[Images]:
            with strictness:
                return [self._read_one(piece, masks, strict) for piece in group]

        if strict:
            yield from (self._read_one(piece, masks, strict) for piece in pieces)
            return
        from concurrent.futures import Future, ThreadPoolExecutor  # 10 ms that one image spares

        pool = ThreadPoolExecutor(min(_THREADS, available_cores()), "cvae-edge-reader")
        ahead: deque[tuple[Future[list[Images]], int, int]] = deque()
        n = size = 0  # images ahead, and bytes of an archive
        try:
            for group in _groups(pieces):
                ahead.append((pool.submit(read_all, group), _images_of(group), _bytes_of(group)))
                n, size = n + ahead[-1][1], size + ahead[-1][2]
                while n > self._most or size > _AHEAD_BYTES:
                    future, images, packed = ahead.popleft()
                    n, size = n - images, size - packed
                    yield from future.result()
            while ahead:
                yield from ahead.popleft()[0].result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _read_one(self, piece: Piece, masks: bool, strict: bool) -> Images:
        bare = piece._replace(file=piece.file._replace(content=None), array=None)
        try:
            images = piece.read()
        except DataError as error:
            if strict or piece.rows is not None:
                raise
            return Images(bare, None, str(error))
        mask = whiten_mask(images) if masks else None
        images = images if mask is None else mask
        fitted, is_blank = fit_part(piece.file.name, images, self._pixels, self._option)
        return Images(bare, fitted, "", is_blank, mask is not None)


def pick_array(arrays: ArrayFile, keys: tuple[str, ...]) -> NDArray[Any]:
    """Return an .npy's array; of an .npz the first of ``keys`` there is, or its only array.

    Raises:
        DataError: it cannot be read, or it is not clear which array is meant.
    """
    if arrays.names is None:
        return arrays.read()
    found = [key for key in keys if key in arrays.names]
    if not found and len(arrays.names) == 1:
        found = arrays.names
    if not found:
        got = ", ".join(sorted(arrays.names)) or "none"
        raise DataError(f"it must hold {' or '.join(keys)}, or one array, got {got}")
    return arrays.read(found[0])


def _has_rows(shape: tuple[int, ...], image_shape: tuple[int, int, int]) -> bool:
    """Whether each row of an array of this shape is an image."""
    batch = len(shape) == 4 or (len(shape) == 3 and not is_one(shape, image_shape))
    return batch and 0 not in shape and (len(shape) == 3 or shape[3] <= 4)


def _groups(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Put pieces together that one thread reads at once: for one image that would cost too much."""
    group: list[Piece] = []
    for piece in pieces:
        group.append(piece)
        if len(group) == _GROUP or piece.rows is not None or _bytes_of(group) > _GROUP_BYTES:
            yield group
            group = []
    if group:
        yield group


def _bytes_of(group: Sequence[Piece]) -> int:
    return sum(len(piece.file.content or b"") for piece in group)


def _images_of(group: Sequence[Piece]) -> int:
    return sum(1 if piece.rows is None else len(_range(piece.rows)) for piece in group)


def _range(rows: slice) -> range:
    return range(rows.start, rows.stop)
