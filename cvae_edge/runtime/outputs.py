"""Images and arrays to files, by the ending of their name, and to standard output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.errors import DataError
from cvae_edge.image_files import SUFFIXES
from cvae_edge.images import image_grid, to_pixels, write_image
from cvae_edge.memory import require_memory
from cvae_edge.runtime.inputs import ImageStream, NamedImages
from cvae_edge.runtime.names import output_names, require_apart
from cvae_edge.runtime.rows import write_rows
from cvae_edge.runtime.sources import ARRAYS, STANDARD

_Pairs = Iterator[tuple[NamedImages, NDArray[Any]]]  # images and their reconstructions


def check_output(out: str, endings: tuple[str, ...] = ()) -> str:
    """Return array, folder or picture, by the ending of ``out``.

    A command calls this before its work, so that a wrong name costs nothing.

    Args:
        out: .png and other image endings are a picture; .npy, .npz and - (standard output) an
            array; a name without an ending, or a folder that is there, a folder.
        endings: those that will do; by default all of them.

    Raises:
        DataError: it is none of these.
    """
    suffix = Path(out).suffix.lower()
    if out == STANDARD or suffix in (endings or ARRAYS):
        return "array"
    if not endings and suffix in SUFFIXES:
        return "picture"
    if not endings and (Path(out).is_dir() or not suffix):
        return "folder"
    allowed = ", ".join(endings or (*SUFFIXES, *ARRAYS))
    folder = "" if endings else ", name a folder"
    raise DataError(f"--out must end in {allowed}{folder}, or be -, got {out!r}")


def write_images(
    out: str,
    images: NDArray[Any],
    columns: int | None = None,
    start: int = 0,
    *,
    inputs: Iterable[str] = (),
) -> str:
    """Write images (n, h, w, c) in [0, 1] and return what was written, in words.

    Args:
        out: see ``check_output``; a picture is a grid where there are several images, an .npz has
            them as ``x_recon``, a folder gets one .png an image.
        images: the images.
        columns: of a grid; None makes it square.
        start: the number of the first single image, by which they are called.
        inputs: files that must not be overwritten.

    Raises:
        DataError: ``out`` has another ending, or cannot be written, or is one of ``inputs``.
    """
    kind = check_output(out)
    if kind == "array":
        write_rows(out, [{"x_recon": images}], inputs)
    elif kind == "folder":
        paths = [Path(out) / f"{i:06d}.png" for i in range(start, start + len(images))]
        require_apart(paths, inputs)
        for path, image in zip(paths, images, strict=True):
            write_image(path, to_pixels(image), durable=False)
    else:
        require_apart([Path(out)], inputs)
        single = len(images) == 1
        write_image(Path(out), to_pixels(images[0]) if single else image_grid(images, columns))
    return _said(len(images), out)


def write_batches(
    out: str,
    batches: Iterable[NDArray[Any]],
    n: int,
    columns: int | None = None,
    start: int = 0,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> str:
    """Write ``n`` images that come in batches; see ``write_images``. A folder holds none of them.

    Args:
        out, columns, start: as in ``write_images``.
        batches: n images in all.
        n: how many.
        on_batch: called after each batch with the images done and ``n``.

    Raises:
        DataError, ConfigError: as in ``write_images``; or they do not fit into memory.
    """
    single_files = check_output(out) == "folder"
    images: NDArray[Any] | None = None
    done = 0
    for batch in batches:
        if single_files:
            write_images(out, batch, start=start + done)
        else:
            if images is None:
                require_memory(n * batch[0].nbytes, f"{n} images in one file")
                images = np.empty((n, *batch.shape[1:]), batch.dtype)
            images[done : done + len(batch)] = batch
        done += len(batch)
        on_batch(done, n)
    return _said(n, out) if images is None else write_images(out, images, columns)


def write_pairs(
    out: str, stream: ImageStream, reconstruct: Callable[[NDArray[Any], int], NDArray[Any]]
) -> tuple[str, int]:
    """Write reconstructions of images; in a picture each stands to the right of its image.

    In a folder they are called as the images are; in an array a broken image's row is NaN. Only a
    picture needs memory for all of them.

    Args:
        out: as in ``write_images``.
        stream: the images.
        reconstruct: gives those of images, and of the index of the first that is not broken.

    Returns:
        What was written, in words, and of how many images.

    Raises:
        DataError: as in ``write_images``.
    """
    kind = check_output(out)
    parts = _reconstructed(stream, reconstruct)
    if kind == "array":
        return _write_array(out, stream, parts)
    if kind == "folder":
        n = _write_folder(Path(out), stream, parts)
    else:
        n = _write_picture(out, stream, parts)
    return _said(n, out), n


def _write_array(out: str, stream: ImageStream, parts: _Pairs) -> tuple[str, int]:
    n = 0

    def rows() -> Iterator[dict[str, NDArray[Any]]]:
        nonlocal n
        for named, x_recon in parts:
            n += len(x_recon)
            yield {"x_recon": named.in_rows(x_recon)}

    return _said(write_rows(out, rows(), stream.inputs()), out), n


def _write_folder(folder: Path, stream: ImageStream, parts: _Pairs) -> int:
    paths = [folder / f"{name}.png" for name in output_names(list(stream.paths()))]
    require_apart(paths, stream.inputs())
    row = n = 0
    for named, x_recon in parts:
        for i, image in zip(named.kept(), x_recon, strict=True):
            write_image(paths[row + i], to_pixels(image), durable=False)
        row, n = row + len(named.names), n + len(x_recon)
    return n


def _write_picture(out: str, stream: ImageStream, parts: _Pairs) -> int:
    require_apart([Path(out)], stream.inputs())
    pairs = np.concatenate(
        [np.stack([to_pixels(x.images), to_pixels(x_recon)], axis=1) for x, x_recon in parts]
    )  # (n, 2, h, w, c)
    columns = 2 * -(-int(np.ceil(np.sqrt(2 * len(pairs)))) // 2)
    write_images(out, pairs.reshape(-1, *pairs.shape[2:]), columns)
    return len(pairs)


def _reconstructed(
    stream: ImageStream, reconstruct: Callable[[NDArray[Any], int], NDArray[Any]]
) -> _Pairs:
    start = 0
    for named in stream:
        yield named, reconstruct(named.images, start)
        start += len(named.images)


def _said(n: int, out: str) -> str:
    where = "standard output" if out == STANDARD else out
    return f"{n} image{'s' if n > 1 else ''} in {where}"
