"""Image files, as they are: found in folders, and read with all that their pixels hold."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.errors import DataError, DataWarning
from cvae_edge.images import check_images

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")  # by content; EPS would start a program
_BROKEN_SHARE = 0.05
_GREY = ("1", "L", "LA", "La", "I", "F")  # Pillow's modes; all of 16 bits are grey as well
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_BITS, _INVERTED, _SIGNED, _ORIENTATION = 258, 262, 339, 274  # tags of TIFF, and of EXIF
# By EXIF orientation: steps over rows and columns. Those in _TURNED change places first.
_TURNED = (5, 6, 7, 8)
_STEPS = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}


def find_images(folder: Path) -> list[Path]:
    """Return the images below ``folder``, by path; see ``walk_images``."""
    return [folder / path for path in walk_images(folder)]


def walk_images(folder: Path) -> Iterator[str]:
    """Give the paths of the images below ``folder``, within it and in order.

    Hidden files and folders are passed over. Linked folders are followed, and a folder that is
    reached in several ways is taken once. No more than one folder's names are held at a time, and
    those of the folders around it.
    """
    return _walk(str(folder), "", set())


def _walk(folder: str, place: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    here = os.path.join(folder, place)
    names, folders = [], set()
    try:
        status = os.stat(here)
        key = (status.st_dev, status.st_ino)
        if key in seen:
            return
        seen.add(key)
        with os.scandir(here) as entries:
            for entry in entries:
                name = entry.name
                if _hidden(name):
                    continue
                if _is(entry.is_dir):
                    folders.add(name)
                    names.append(name)
                elif name.lower().endswith(SUFFIXES) and _is(entry.is_file):
                    names.append(name)
    except OSError:  # nobody may look into it
        return
    for name in sorted(names, key=os.path.normcase):
        path = os.path.join(place, name) if place else name
        if name in folders:
            yield from _walk(folder, path, seen)
        else:
            yield path


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # a link that leads in a circle
        return False


def is_image_name(path: str) -> bool:
    """Whether a file is an image by its name, and no part of its path is hidden."""
    return path.lower().endswith(SUFFIXES) and not any(map(_hidden, path.split("/")))


def require_few_broken(broken: Sequence[str], total: int) -> None:
    """Raise DataError if so many of ``total`` images are broken that it is not the images' fault.

    Args:
        broken: what each broken image is called.
        total: how many images there are.
    """
    if len(broken) > _BROKEN_SHARE * total:
        raise DataError(
            f"at most {_BROKEN_SHARE:.0%} of the images may be broken, got {len(broken)} of "
            f"{total}, {broken[0]} first"
        )


def _hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


def read_image(source: Path | IO[bytes], name: str = "") -> NDArray[Any]:
    """Read one image, upright: (height, width, channels) of its own, in uint8 or float32.

    Values of more than 8 bits are scaled by the range of their type to float32 in [0, 1]. Channels
    are grey, grey and alpha, RGB, or RGB and alpha; where nothing shows, the colour is black.

    Args:
        source: a file of one of ``SUFFIXES``' formats, by its path or open.
        name: what to call an open file in messages.

    Warns:
        DataWarning: an animation, of which the first frame is taken.

    Raises:
        DataError: the file is no readable image.
    """
    with _opened(source) as image:
        pixels = _deep(image) if image.mode[:1] in "IF" else _shallow(image)
        orientation = _orientation(image)
        # The further pictures of a photograph (MPO) are previews and depth.
        animated = image.format != "MPO" and getattr(image, "is_animated", False)
    if animated:
        message = f"{name or source} has several frames: the first is taken"
        warnings.warn(message, DataWarning, stacklevel=2)
    rows, columns = _STEPS.get(orientation, (1, 1))
    upright = pixels.swapaxes(0, 1) if orientation in _TURNED else pixels
    return np.ascontiguousarray(upright[::rows, ::columns])


@contextlib.contextmanager
def _opened(source: Path | IO[bytes]) -> Iterator[Any]:
    """Give Pillow's image; every error in it becomes a DataError."""
    from PIL import Image, UnidentifiedImageError  # 30 ms that a device without files spares

    name = f"{source} is " if isinstance(source, Path) else ""
    try:
        # Opened here, for Pillow leaves a file open that it fails on.
        file = source.open("rb") if isinstance(source, Path) else contextlib.nullcontext(source)
        with file as content, strictness:
            yield Image.open(content, formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise DataError(
            f"{name}not a readable image: it is no {', '.join(_FORMATS)} file"
        ) from error
    except Exception as error:  # Pillow's readers raise whatever comes up
        raise DataError(f"{name}not a readable image: {error}") from error


class _Strictness:
    """What Pillow warns of is an error or nothing, while any thread reads.

    The filters of warnings belong to the process: the first thread sets them, the last one sets
    them back.
    """

    def __init__(self) -> None:
        self._lock, self._readers = threading.Lock(), 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        from PIL import Image

        with self._lock:
            self._readers += 1
            if self._readers > 1:
                return
            self._filters = warnings.catch_warnings()
            self._filters.__enter__()
            # Damaged EXIF entries and the like.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            # A few bytes can ask for gigabytes: Pillow warns from 89 million pixels on.
            warnings.simplefilter("error", Image.DecompressionBombWarning)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers:
                self._filters.__exit__(None, None, None)


strictness = _Strictness()  # whoever reads many images enters it once for all


def _orientation(image: Any) -> int:
    """Return what EXIF says of a loaded image; 1, upright, in TIFF, which Pillow turns itself."""
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # damaged EXIF spoils no picture
        return 1
    return orientation if isinstance(orientation, int) else 1


def _is_grey(image: Any) -> bool:
    if image.mode == "P":
        palette = np.reshape(image.getpalette() or [], (-1, 3))
        return bool((palette == palette[:, :1]).all())
    return image.mode in _GREY or image.mode.startswith("I;16")


def _shallow(image: Any) -> NDArray[np.uint8]:
    """Return the pixels of an image of up to 8 bits a channel."""
    clear = image.mode in _ALPHA or "transparency" in image.info
    mode = ("L" if _is_grey(image) else "RGB") + ("A" if clear else "")
    pixels = np.array(image if image.mode == mode else image.convert(mode), np.uint8)
    pixels = pixels.reshape(*pixels.shape[:2], len(mode))
    if clear:
        pixels[pixels[..., -1] == 0] = 0
    return pixels


def _deep(image: Any) -> NDArray[np.float32]:
    """Return the grey values of an image of more than 8 bits, in [0, 1]; never clipped."""
    values = np.asarray(image)[..., np.newaxis]
    if image.mode == "F":
        floats: NDArray[np.float32] = check_images(values[np.newaxis], "pixels")[0]
        return floats
    tags = getattr(image, "tag_v2", {})  # of TIFF; PNG has 16 bits, whichever mode Pillow takes
    bits = tags.get(_BITS, (16,))[0]
    if tags.get(_SIGNED, (1,))[0] == 2:
        bits -= 1
        if values.min() < 0:
            raise ValueError(f"integer pixels must be 0 or more, got {values.min()}")
    elif bits == 32:
        values = values.view(np.uint32)
    scaled: NDArray[np.float32] = (values / (2.0**bits - 1)).astype(np.float32)
    if tags.get(_INVERTED) == 0:
        scaled = 1 - scaled
    if "transparency" in image.info:
        alpha = values != image.info["transparency"]
        scaled = np.concatenate([scaled * alpha, alpha], axis=2, dtype=np.float32)
    return scaled
