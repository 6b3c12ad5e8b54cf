"""Images and latents from what a command line names: files, folders, arrays, standard input."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvae_edge.array_files import ArrayFile
from cvae_edge.codec import Array
from cvae_edge.errors import DataError, DataWarning
from cvae_edge.fitting import fit_images
from cvae_edge.image_files import SUFFIXES, find_images, read_image, require_few_broken
from cvae_edge.preprocess import Pixels
from cvae_edge.regular_files import open_regular
from cvae_edge.runtime.arguments import as_batch, as_latents

STANDARD = "-"  # standard input, or output
ARRAYS = (".npy", ".npz")
_ARRAY_BYTES = (b"\x93NUM", b"PK\x03\x04")  # that .npy and .npz files begin with


class NamedImages(NamedTuple):
    """Images and what to call each."""

    names: list[str]
    images: NDArray[Any]  # (n, h, w, c), uint8 or float32; those that are not broken
    broken: dict[int, str]  # by index in ``names``: why an image has none
    paths: list[str]  # of each, within the folder that was named
    files: list[str]  # all that were read

    def in_rows(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values (n, ...) of the images as a row a name: NaN where an image is broken."""
        if not self.broken:
            return values
        kept = [i for i in range(len(self.names)) if i not in self.broken]
        rows = np.full((len(self.names), *values.shape[1:]), np.nan, values.dtype)
        rows[kept] = values
        return rows


class _BrokenImageError(DataError):
    """A file that ought to be an image and is not."""


def read_images(
    sources: Sequence[str],
    pixels: Pixels,
    resize: bool = False,
    on_file: Callable[[int, int], None] = lambda done, total: None,
    skip_broken: bool = False,
) -> NamedImages:
    """Read the images a model takes, in the order of ``sources``.

    Args:
        sources: image files; folders, of which every image is read, subfolders too, by path;
            .npy and .npz files; or - for standard input, which holds one such file.
        pixels: what the model takes, and how images become that.
        resize: make images of other sizes fit, as ``pixels`` says; other channels always are.
        on_file: called after each file with the files read and their total.
        skip_broken: go on where up to 5% of the image files cannot be read.

    Warns:
        DataWarning: an image was skipped; and see ``fit_images`` and ``read_image``.

    Raises:
        DataError: something cannot be read, or is not what the model takes.
    """
    files = [file for source in sources for file in _expand(source)]
    names: list[str] = []
    paths: list[str] = []
    broken: dict[int, str] = {}

    def parts() -> Iterator[tuple[str, NDArray[Any]]]:
        for i, (file, path) in enumerate(files, 1):
            try:
                numbers, images = _read_file(file, pixels.image_shape)
            except _BrokenImageError as error:
                if not skip_broken or len(files) == 1:
                    raise
                broken[len(names)] = str(error)
                names.append(file)
                paths.append(path)
            else:
                names.extend(f"{file}{number}" for number in numbers)
                paths.extend(f"{path}{number}" for number in numbers)
                yield file, images
            on_file(i, len(files))
        require_few_broken([names[i] for i in broken], len(files))
        for reason in broken.values():
            warnings.warn(f"skipped: {reason}", DataWarning, stacklevel=2)

    arrays = fit_images(parts(), pixels, None if resize else "--resize")
    images = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    return NamedImages(names, images, broken, paths, [file for file, _ in files])


def first_shape(sources: Sequence[str], pixels: Pixels) -> tuple[int, int, int]:
    """Return the shape of the first of the images, in the channels of ``pixels``.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    file, _ = _expand(sources[0])[0]
    _, images = _read_file(file, pixels.image_shape)
    height, width = images.shape[1:3]
    return height, width, pixels.image_shape[2]


def read_latents(source: str, latent_dim: int) -> Array:
    """Read latents from an .npy or .npz file (its ``z`` or ``mean``), or from - standard input.

    Raises:
        DataError: it cannot be read, or does not hold floating point (n, latent_dim).
    """
    with _opened(source) as content:
        try:
            return as_latents(_read_array(content, ("z", "mean")), latent_dim)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error


def _expand(source: str) -> list[tuple[str, str]]:
    """Return the files of a source, each with its path within it."""
    if source == STANDARD:
        return [(source, "stdin")]
    folder = Path(source)
    if not folder.is_dir():
        if not folder.is_file():
            raise DataError(f"{source} is {'no file' if folder.exists() else 'not there'}")
        return [(source, folder.name)]
    paths = find_images(folder)
    if not paths:
        raise DataError(f"{source} must hold images ({', '.join(SUFFIXES)}), got none")
    return [(str(path), str(path.relative_to(folder))) for path in paths]


def _read_file(file: str, image_shape: tuple[int, int, int]) -> tuple[list[str], NDArray[Any]]:
    """Read one file's images, of their own size and channels, and the numbers that they go by."""
    with _opened(file) as content:
        is_array = content.read(4) in _ARRAY_BYTES or Path(file).suffix.lower() in ARRAYS
        content.seek(0)
        try:
            if not is_array:
                return [""], read_image(content, file)[np.newaxis]
            images = as_batch(_read_array(content, ("x", "x_recon")), image_shape)
            return [f"[{i}]" for i in range(len(images))], images
        except DataError as error:
            kind = DataError if is_array else _BrokenImageError
            raise kind(f"{file}: {error}") from error


@contextmanager
def _opened(source: str) -> Iterator[IO[bytes]]:
    if source == STANDARD:
        if sys.stdin is None:
            raise DataError("standard input is closed: name a file")
        yield io.BytesIO(sys.stdin.buffer.read())  # a pipe cannot go back, and zips need to
        return
    try:
        file = open_regular(Path(source))
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}") from error
    with file:
        yield file


def _read_array(content: IO[bytes], keys: tuple[str, ...]) -> NDArray[Any]:
    """Return an .npy's array; of an .npz the first of ``keys`` there is, or its only array.

    Raises:
        DataError: it cannot be read, or it is not clear which array is meant.
    """
    arrays = ArrayFile(content)
    if arrays.names is None:
        return arrays.read()
    found = [key for key in keys if key in arrays.names]
    if not found and len(arrays.names) == 1:
        found = arrays.names
    if not found:
        got = ", ".join(sorted(arrays.names)) or "none"
        raise DataError(f"it must hold {' or '.join(keys)}, or one array, got {got}")
    return arrays.read(found[0])
