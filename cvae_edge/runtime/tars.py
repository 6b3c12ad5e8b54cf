"""Images in a .tar or .tar.gz that nobody vouches for: read one after another, never unpacked."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any

from cvae_edge.errors import DataError
from cvae_edge.image_files import is_image_name
from cvae_edge.untrusted import leads_out
from cvae_edge.zips import check_expansion

_MAX_HEADER, _MAX_IMAGE = 1 << 20, 1 << 28  # bytes
_CHUNK = 1 << 20
_END = bytes(tarfile.BLOCKSIZE)  # follows the last file


def read_tar(packed: IO[bytes], name: str) -> Iterator[tuple[str, bytes]]:
    """Give the images of an archive in its own order, each with its path in it, and close it.

    What is hidden, no regular file or no image by its name is passed over, as in a folder.

    Raises:
        DataError: it is damaged or cut short, holds a name that leads out of it or an image of more
            than 256 MB, or would unpack to an absurd size.
    """
    try:
        with packed:
            yield from _images(packed, name.lower().endswith("z"))
    except Exception as error:  # a parser of anyone's bytes may raise anything
        raise DataError(f"{name} is no readable archive: {error}") from error


def _images(packed: IO[bytes], is_packed: bool) -> Iterator[tuple[str, bytes]]:
    content = _Bounded(packed, is_packed)
    with tarfile.open(fileobj=content, mode="r:") as tar:  # type: ignore[call-overload] # its stubs
        while (member := tar.next()) is not None:
            tar.members.clear()  # it would remember a million of them
            path = str(PurePosixPath(member.name.replace("\\", "/")))
            if leads_out(path):
                raise ValueError(f"it holds a file name that leads out of it: {member.name!r}")
            if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and is_image_name(path):
                if member.size > _MAX_IMAGE:
                    raise ValueError(f"{path!r} must have at most {_MAX_IMAGE >> 20} MB")
                yield path, content.member(member.offset_data, member.size)
            content.header = _MAX_HEADER
    if content.last != _END:
        raise ValueError("it is cut short or damaged")
    content.finish()


class _Bounded:
    """The unpacked bytes of an archive, read forward; its headers within bounds."""

    def __init__(self, packed: IO[bytes], is_packed: bool) -> None:
        self._packed = packed
        self._file: Any = gzip.GzipFile(fileobj=packed) if is_packed else packed
        self._is_packed = is_packed
        self.header = _MAX_HEADER  # bytes that the next one may have
        self.last = b""  # what was read last

    def tell(self) -> int:
        """Return the position in the unpacked bytes."""
        position: int = self._file.tell()
        return position

    def seek(self, position: int) -> int:
        """Go to a position; of packed bytes it has to unpack those before it."""
        if not self._is_packed or position < self._file.tell():
            self._file.seek(position)
            return position
        while (here := self._file.tell()) < position:
            check_expansion(here, self._packed.tell())
            if not self._file.read(min(_CHUNK, position - here)):
                break
        return self.tell()

    def read(self, size: int) -> bytes:
        """Read a part of a header."""
        if size > self.header:
            raise ValueError("it holds an absurdly long header")
        self.header -= size
        self.last = bytes(self._file.read(size))
        return self.last

    def finish(self) -> None:
        """Unpack the rest, which ends in a checksum."""
        while self._is_packed and self._file.read(_CHUNK):
            check_expansion(self.tell(), self._packed.tell())

    def member(self, position: int, size: int) -> bytes:
        """Return the bytes of a file."""
        self.seek(position)
        content = bytearray()
        while part := self._file.read(min(_CHUNK, size - len(content))):
            content += part
        if len(content) != size:
            raise ValueError("it is cut short")
        return bytes(content)
