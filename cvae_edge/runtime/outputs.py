"""Images and arrays to files, by the ending of their name, and to standard output."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.errors import DataError
from cvae_edge.image_files import SUFFIXES
from cvae_edge.images import image_grid, to_pixels, write_image
from cvae_edge.memory import require_memory
from cvae_edge.runtime.inputs import ARRAYS, STANDARD, NamedImages
from cvae_edge.runtime.names import output_names, require_apart
from cvae_edge.writing import new_file, write_standard


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
    names: Sequence[str] | None = None,
    inputs: Sequence[str] = (),
) -> str:
    """Write images (n, h, w, c) in [0, 1] and return what was written, in words.

    Args:
        out: see ``check_output``; a picture is a grid where there are several images, an .npz has
            them as ``x_recon``, a folder gets one .png an image.
        images: the images.
        columns: of a grid; None makes it square.
        start: the number of the first single image, by which they are called.
        names: what single images are called instead.
        inputs: files that must not be overwritten.

    Raises:
        DataError: ``out`` has another ending, or cannot be written, or is one of ``inputs``.
    """
    kind = check_output(out)
    if kind == "array":
        write_arrays(out, inputs=inputs, x_recon=images)
    elif kind == "folder":
        called = names or [f"{i:06d}" for i in range(start, start + len(images))]
        paths = [Path(out) / f"{name}.png" for name in called]
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


def write_pairs(out: str, named: NamedImages, x_recon: NDArray[Any]) -> str:
    """Write reconstructions of images; in a picture each stands to the right of its image.

    In a folder they are called as the images are; in an array a broken image's row is NaN.
    """
    kind = check_output(out)
    if kind == "array":
        return write_images(out, named.in_rows(x_recon), inputs=named.files)
    if kind == "folder":
        kept = [path for i, path in enumerate(named.paths) if i not in named.broken]
        return write_images(out, x_recon, names=output_names(kept), inputs=named.files)
    x = named.images
    pairs = np.stack([to_pixels(x), to_pixels(x_recon)], axis=1)  # (n, 2, h, w, c)
    columns = 2 * -(-int(np.ceil(np.sqrt(2 * len(x)))) // 2)
    write_images(out, pairs.reshape(-1, *x.shape[1:]), columns, inputs=named.files)
    return _said(len(x), out)


def _said(n: int, out: str) -> str:
    where = "standard output" if out == STANDARD else out
    return f"{n} image{'s' if n > 1 else ''} in {where}"


def write_arrays(out: str, *, inputs: Sequence[str] = (), **arrays: NDArray[Any]) -> None:
    """Write arrays to .npz, or one array to .npy; - is standard output, .npy for one array.

    Raises:
        DataError: several arrays for an .npy file, or ``out`` is one of ``inputs``.
        OSError: the file cannot be written; one that was there before is kept.
    """
    single = next(iter(arrays.values())) if len(arrays) == 1 else None
    if Path(out).suffix.lower() == ".npy" and single is None:
        raise DataError(f"{' and '.join(arrays)} need an .npz file, got {out}")
    require_apart([Path(out)], inputs)
    with _binary(out) as file:
        if single is not None and Path(out).suffix.lower() != ".npz":
            np.save(file, single, allow_pickle=False)
        else:
            np.savez(file, **arrays)  # type: ignore[arg-type] # its stubs miss the keywords


@contextmanager
def _binary(out: str) -> Iterator[IO[bytes]]:
    """Give a file that becomes ``out`` once it is whole."""
    if out == STANDARD:
        buffer = io.BytesIO()  # numpy seeks in what it writes, and a pipe cannot
        yield buffer
        write_standard(buffer.getbuffer())
        return
    with new_file(Path(out)) as file:
        yield file
