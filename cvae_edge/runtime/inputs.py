"""Images and latents from what a command line names: files, folders, arrays, standard input."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvae_edge.elbo import Array
from cvae_edge.errors import DataError
from cvae_edge.images import SUFFIXES, read_image
from cvae_edge.runtime.arguments import as_images, as_latents
from cvae_edge.runtime.memory import require_memory

STANDARD = "-"  # standard input, or output
ARRAYS = (".npy", ".npz")
_MAGIC = {b"\x93NUMPY": ".npy", b"PK\x03\x04": ".npz"}


class NamedImages(NamedTuple):
    """Images and what to call each."""

    names: list[str]
    images: NDArray[Any]  # (n, h, w, c), uint8 or float32


def read_images(
    sources: Sequence[str],
    image_shape: tuple[int, int, int],
    resize: bool = False,
    on_file: Callable[[int, int], None] = lambda done, total: None,
) -> NamedImages:
    """Read the images a model takes, in the order of ``sources``.

    Args:
        sources: image files; folders, of which every image is read, subfolders too, by path;
            .npy and .npz files; or - for standard input, which holds one such file.
        image_shape: height, width, channels; colour is converted, size only with ``resize``.
        resize: make images of other sizes fit.
        on_file: called after each file with the files read and their total.

    Raises:
        DataError: something cannot be read, or is not what the model takes.
    """
    files = [file for source in sources for file in _expand(source)]
    parts: list[NamedImages] = []
    for i, file in enumerate(files, 1):
        parts.append(_read_file(file, image_shape, resize))
        on_file(i, len(files))
    arrays = [part.images for part in parts]
    if len({array.dtype for array in arrays}) > 1:  # pixels and probabilities together
        arrays = [a / np.float32(255) if a.dtype == np.uint8 else a for a in arrays]
    names = [name for part in parts for name in part.names]
    return NamedImages(names, arrays[0] if len(arrays) == 1 else np.concatenate(arrays))


def read_latents(source: str, latent_dim: int) -> Array:
    """Read latents from an .npy or .npz file (its ``z`` or ``mean``), or from - standard input.

    Raises:
        DataError: it cannot be read, or does not hold float32 (n, latent_dim).
    """
    content = io.BytesIO(sys.stdin.buffer.read()) if source == STANDARD else _existing(source)
    return as_latents(_read_array(content, source, ("z", "mean")), latent_dim)


def _expand(source: str) -> list[str]:
    if source == STANDARD or not Path(source).is_dir():
        return [source]
    paths = sorted(p for p in Path(source).rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataError(f"{source} must hold images ({', '.join(SUFFIXES)}), got none")
    return [str(path) for path in paths]


def _read_file(file: str, image_shape: tuple[int, int, int], resize: bool) -> NamedImages:
    content: Path | IO[bytes]
    if file == STANDARD:
        raw = sys.stdin.buffer.read()
        content = io.BytesIO(raw)
        suffix = next((s for magic, s in _MAGIC.items() if raw.startswith(magic)), "")
    else:
        content = _existing(file)
        suffix = content.suffix.lower()
    try:
        if suffix in ARRAYS:
            images = as_images(_read_array(content, file, ("x", "x_recon")), image_shape)
            return NamedImages([f"{file}[{i}]" for i in range(len(images))], images)
        size = image_shape[:2] if resize else None
        image = read_image(content, size, image_shape[2])
        if image.shape != image_shape:
            raise DataError(
                f"the model takes images of height {image_shape[0]} and width {image_shape[1]}, "
                f"got {image.shape[0]} and {image.shape[1]}: give --resize to make them fit"
            )
    except DataError as error:
        raise DataError(error if file in str(error) else f"{file}: {error}") from error
    return NamedImages([file], image[np.newaxis])


def _existing(source: str) -> Path:
    path = Path(source)
    if not path.is_file():
        raise DataError(f"{source} is {'no file' if path.exists() else 'not there'}")
    return path


def _read_array(content: Path | IO[bytes], name: str, keys: tuple[str, ...]) -> NDArray[Any]:
    """Return an .npy's array; of an .npz the first of ``keys`` there is, or its only array.

    Raises:
        DataError: it cannot be read, or it is not clear which array is meant.
    """
    try:
        if zipfile.is_zipfile(content):
            with zipfile.ZipFile(content) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
            require_memory(size, f"{name}, unpacked,")
        if not isinstance(content, Path):
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
