"""What may stand in an .npy or .npz file, and what is refused before memory is taken."""

from __future__ import annotations

import io
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cvae_edge.array_files import ArrayFile
from cvae_edge.errors import DataError

FAULTS = Path(__file__).parents[2] / "shared" / "faults"


def saved(save, *args, **arrays) -> io.BytesIO:
    buffer = io.BytesIO()
    save(buffer, *args, **arrays)
    return buffer


def header(text: str, rest: bytes = b"") -> io.BytesIO:
    content = text.encode()
    return io.BytesIO(b"\x93NUMPY\x01\x00" + len(content).to_bytes(2, "little") + content + rest)


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f2", "f4", ">f8", "U3"])
@pytest.mark.parametrize("shape", [(), (7,), (0, 3), (2, 3, 4)])
def test_arrays_are_read_as_numpy_reads_them(dtype, shape):
    values = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape), dtype)
    for order in "CF":
        x = np.asarray(values, order=order)
        files = [saved(np.savez, x=x), saved(np.savez_compressed, x=x), saved(np.save, x)]
        for file in files:
            arrays = ArrayFile(file)
            got = arrays.read("x" if arrays.names else "")
            np.testing.assert_array_equal(got, x)
            assert got.dtype == x.dtype


REFUSED = {
    "objects": (header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"), "numbers"),
    "records": (saved(np.save, np.zeros(2, [("a", "f4")])), "numbers"),
    "values of no size": (
        header("{'descr': '|S0', 'fortran_order': False, 'shape': (1000000000000,)}"),
        "numbers",
    ),
    "more than there is": (
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (9, 9999999999)}", bytes(8)),
        "bytes for its shape",
    ),
    "a negative size": (
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}", bytes(8)),
        "cannot be read",
    ),
    "a deep header": (header("(" * 9000), "cannot be read"),
    "a header of code": (header("__import__('os').abort()"), "cannot be read"),
    "version 9": (io.BytesIO(b"\x93NUMPY\x09\x00\x00\x00"), "cannot be read"),
    "nothing": (io.BytesIO(), "cannot be read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_array_of_numbers_is_refused(name):
    file, message = REFUSED[name]
    with pytest.raises(DataError, match=message):
        ArrayFile(file).read()


def test_a_bomb_is_refused_before_memory_is_taken():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", saved(np.save, np.zeros(1000)).getvalue())
    content = bytearray(buffer.getvalue())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (3 << 30).to_bytes(4, "little")  # what it says it unpacks to
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="must not be packed more than 100 times"):
        ArrayFile(io.BytesIO(content)).read("x")
    with pytest.raises(DataError, match="at most 1 MB"):
        ArrayFile(io.BytesIO(content), 1 << 20)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 50_000  # kB


@pytest.mark.parametrize(
    "path", sorted(FAULTS.glob("npz_*.npz")) or [None], ids=lambda p: p and p.name
)
def test_files_that_once_went_wrong_are_refused(path):
    if path is None:
        pytest.skip("the collection of faulty files is not beside this checkout")
    with path.open("rb") as file, pytest.raises(DataError):
        ArrayFile(file).read_all()
