"""Images and latents from what a command line names: files, folders, arrays, standard input."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array
from cvae_edge.errors import DataError
from cvae_edge.fitting import fit_images
from cvae_edge.image_files import SUFFIXES, find_images, read_image
from cvae_edge.preprocess import Pixels
from cvae_edge.runtime.arguments import as_batch, as_latents
from cvae_edge.runtime.memory import require_memory

STANDARD = "-"  # standard input, or output
ARRAYS = (".npy", ".npz")
_ARRAY_BYTES = (b"\x93NUM", b"PK\x03\x04")  # that .npy and .npz files begin with


class NamedImages(NamedTuple):
    """Images and what to call each."""

    names: list[str]
    images: NDArray[Any]  # (n, h, w, c), uint8 or float32


def read_images(
    sources: Sequence[str],
    pixels: Pixels,
    resize: bool = False,
    on_file: Callable[[int, int], None] = lambda done, total: None,
) -> NamedImages:
    """Read the images a model takes, in the order of ``sources``.

    Args:
        sources: image files; folders, of which every image is read, subfolders too, by path;
            .npy and .npz files; or - for standard input, which holds one such file.
        pixels: what the model takes, and how images become that.
        resize: make images of other sizes fit, as ``pixels`` says; other channels always are.
        on_file: called after each file with the files read and their total.

    Warns:
        DataWarning: see ``fit_images`` and ``read_image``.

    Raises:
        DataError: something cannot be read, or is not what the model takes.
    """
    files = [file for source in sources for file in _expand(source)]
    names: list[str] = []

    def parts() -> Iterator[tuple[str, NDArray[Any]]]:
        for i, file in enumerate(files, 1):
            part = _read_file(file, pixels.image_shape)
            names.extend(part.names)
            yield file, part.images
            on_file(i, len(files))

    arrays = fit_images(parts(), pixels, None if resize else "--resize")
    return NamedImages(names, arrays[0] if len(arrays) == 1 else np.concatenate(arrays))


def read_latents(source: str, latent_dim: int) -> Array:
    """Read latents from an .npy or .npz file (its ``z`` or ``mean``), or from - standard input.

    Raises:
        DataError: it cannot be read, or does not hold floating point (n, latent_dim).
    """
    with _opened(source) as content:
        return as_latents(_read_array(content, source, ("z", "mean")), latent_dim)


def _expand(source: str) -> list[str]:
    if source == STANDARD or not Path(source).is_dir():
        return [source]
    paths = find_images(Path(source))
    if not paths:
        raise DataError(f"{source} must hold images ({', '.join(SUFFIXES)}), got none")
    return [str(path) for path in paths]


def _read_file(file: str, image_shape: tuple[int, int, int]) -> NamedImages:
    """Read one file's images, of their own size and channels."""
    with _opened(file) as content:
        is_array = content.read(4) in _ARRAY_BYTES or Path(file).suffix.lower() in ARRAYS
        content.seek(0)
        try:
            if not is_array:
                return NamedImages([file], read_image(content, file)[np.newaxis])
            images = as_batch(_read_array(content, file, ("x", "x_recon")), image_shape)
            return NamedImages([f"{file}[{i}]" for i in range(len(images))], images)
        except DataError as error:
            raise DataError(f"{file}: {error}") from error


@contextmanager
def _opened(source: str) -> Iterator[IO[bytes]]:
    if source == STANDARD:
        yield io.BytesIO(sys.stdin.buffer.read())  # a pipe cannot go back, and zips need to
        return
    path = Path(source)
    if not path.is_file():
        raise DataError(f"{source} is {'no file' if path.exists() else 'not there'}")
    with path.open("rb") as file:
        yield file


def _read_array(content: IO[bytes], name: str, keys: tuple[str, ...]) -> NDArray[Any]:
    """Return an .npy's array; of an .npz the first of ``keys`` there is, or its only array.

    Raises:
        DataError: it cannot be read, or it is not clear which array is meant.
    """
    try:
        if zipfile.is_zipfile(content):
            with zipfile.ZipFile(content) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
            require_memory(size, f"{name}, unpacked,")
        content.seek(0)
        loaded = np.load(content, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            found = [key for key in keys if key in loaded.files]
            if not found and len(loaded.files) == 1:
                found = loaded.files
            if found:
                return np.asarray(loaded[found[0]])
            names = sorted(loaded.files)
    except Exception as error:  # a parser of anyone's bytes may raise anything
        raise DataError(f"{name} cannot be read as .npy or .npz: {error}") from error
    raise DataError(f"{name} must hold {' or '.join(keys)}, or one array, got {names or 'none'}")
