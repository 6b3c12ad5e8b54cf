"""Arrays to files a few rows at a time: .npy, .npz, or standard output."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from cvae_edge.errors import DataError
from cvae_edge.runtime.names import require_apart
from cvae_edge.runtime.sources import STANDARD
from cvae_edge.writing import new_file, write_standard

_IN_MEMORY = 1 << 24  # bytes of an array from which on its rows wait on the disk
_COPIED = 1 << 20


def write_rows(
    out: str, parts: Iterable[Mapping[str, NDArray[Any]]], inputs: Iterable[str] = ()
) -> int:
    """Write arrays that come some rows at a time, and return how many.

    The number of rows stands before them in a file, so until all are there they wait in temporary
    files beside ``out``.

    Args:
        out: .npz, .npy for one array, or - for standard output: .npy for one array, else .npz.
        parts: arrays (n, ...) by name, the same names each time; at least one part.
        inputs: files that must not be overwritten.

    Raises:
        DataError: several arrays for an .npy file, or ``out`` is one of ``inputs``.
        OSError: the file cannot be written; one that was there before is kept.
    """
    require_apart([Path(out)], inputs)
    with _binary(out) as file, ExitStack() as stack:
        waiting: dict[str, _Waiting] = {}
        for part in parts:
            for name, rows in part.items():
                if name not in waiting:
                    waiting[name] = _Waiting(
                        stack, None if out == STANDARD else str(Path(out).parent)
                    )
                waiting[name].add(rows)
        _write(file, out, waiting)
        return next(iter(waiting.values())).n


class _Waiting:
    """The rows of an array that is to be written."""

    def __init__(self, stack: ExitStack, folder: str | None) -> None:
        from tempfile import SpooledTemporaryFile  # 10 ms that others spare

        file = SpooledTemporaryFile(_IN_MEMORY, dir=folder)  # noqa: SIM115
        self.file: Any = stack.enter_context(file)
        self.n, self.width, self.dtype = 0, (), np.dtype(np.float32)

    def add(self, rows: NDArray[Any]) -> None:
        """Append rows."""
        self.n, self.width, self.dtype = self.n + len(rows), rows.shape[1:], rows.dtype
        self.file.write(np.ascontiguousarray(rows).data)

    def write(self, file: IO[bytes]) -> None:
        """Write all of it as .npy."""
        header = {
            "descr": npy.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.n, *self.width),
        }
        npy.write_array_header_1_0(file, header)
        self.file.seek(0)
        while part := self.file.read(_COPIED):
            file.write(part)


def _write(file: IO[bytes], out: str, arrays: Mapping[str, _Waiting]) -> None:
    suffix = Path(out).suffix.lower()
    if len(arrays) == 1 and suffix != ".npz":
        next(iter(arrays.values())).write(file)
        return
    if suffix == ".npy":
        raise DataError(f"{' and '.join(arrays)} need an .npz file, got {out}")
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                array.write(entry)


@contextmanager
def _binary(out: str) -> Iterator[IO[bytes]]:
    """Give a file that becomes ``out`` once it is whole."""
    if out != STANDARD:
        with new_file(Path(out)) as file:
            yield file
        return
    # Both numpy and zipfile seek in what they write, and a pipe cannot.
    from tempfile import SpooledTemporaryFile

    with SpooledTemporaryFile(_IN_MEMORY) as buffer:
        yield buffer
        buffer.seek(0)
        while part := buffer.read(_COPIED):
            write_standard(part)
