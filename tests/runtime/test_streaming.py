"""Images that are read while others run: the same results as all at once, in flat memory."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvae_edge import EdgeCVAE
from cvae_edge.errors import DataError, DataWarning
from cvae_edge.fitting import Fitted
from cvae_edge.preprocess import Pixels, to_float
from cvae_edge.runtime.inputs import ImageStream, read_images

TINY = Path(__file__).parents[1] / "data" / "tiny"
RNG = np.random.default_rng(0)
PIXELS = Pixels((8, 8, 1))


def png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "png")
    return content.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """100 images: some colour, some of 16 bits, some in subfolders; the last but one is broken."""
    folder = tmp_path_factory.mktemp("images")
    for i in range(100):
        image = RNG.integers(0, 256, (8, 8, 3) if i % 7 == 0 else (8, 8), np.uint8)
        if i % 9 == 0:
            image = image.astype(np.uint16)[..., :8] * 257 if image.ndim == 2 else image
        path = folder / ("b" if i % 3 else "a-b") / f"{i:03d}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(image) if i != 98 else b"broken")
    return folder


def together(folder: Path) -> tuple[list[str], np.ndarray, list[str]]:
    """What a stream gives, put together."""
    with pytest.warns(DataWarning, match="skipped"):
        named = read_images([str(folder)], PIXELS, skip_broken=True)
    return named.names, named.images, [named.names[i] for i in named.broken]


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_chunks_give_what_all_at_once_gives_to_the_bit(folder, chunk):
    model = EdgeCVAE.load(TINY)
    names, images, broken = together(folder)
    assert names == [str(p) for p in sorted(folder.rglob("*.png"))]
    assert broken == [str(folder / "b" / "098.png")]
    stream = ImageStream([str(folder)], PIXELS, skip_broken=True, chunk=chunk)
    with pytest.warns(DataWarning, match="skipped"):
        chunks = list(stream)
    assert max(len(named.images) for named in chunks) == min(chunk, 99)
    assert [name for named in chunks for name in named.names] == names
    starts = np.cumsum([0, *(len(named.images) for named in chunks)])
    for whole, parts in (
        (model.score(images), [model.score(Fitted(c.images)) for c in chunks]),
        (model.encode(images).mean, [model.encode(Fitted(c.images)).mean for c in chunks]),
        (
            model.reconstruct(images, seed=3),
            [
                model.reconstruct(Fitted(c.images), seed=3, start=int(start))
                for c, start in zip(chunks, starts, strict=False)
            ],
        ),
    ):
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("form", ["npy", "fortran", "npz", "greys", "one"])
def test_arrays_are_cut_as_they_are_read_whole(tmp_path, form):
    images = RNG.random((50, 8, 8, 1), np.float32)
    array = {"greys": images[..., 0], "one": images[0, ..., 0]}.get(form, images)
    path = tmp_path / ("a.npz" if form == "npz" else "a.npy")
    if form == "npz":
        np.savez(path, x=array)
    else:
        np.save(path, np.asfortranarray(array) if form == "fortran" else array)
    chunks = list(ImageStream([str(path)], PIXELS, chunk=12))
    got = np.concatenate([named.images for named in chunks])
    np.testing.assert_array_equal(got, images[: len(got)])
    assert len(chunks) == (1 if form == "one" else 5)
    names = [name for named in chunks for name in named.names]
    assert names == [f"{path}[{i}]" for i in range(len(got))]


def test_masks_are_told_by_the_whole_set_and_not_by_a_chunk(tmp_path):
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5] = 1
    for i in range(6):
        (tmp_path / f"{i}.png").write_bytes(png(mask))
    with pytest.warns(DataWarning, match=r"0\.png and 5 more hold only 0 and 1"):
        white = list(ImageStream([str(tmp_path)], PIXELS, chunk=2))
    assert [named.images.max() for named in white] == [255] * 3
    (tmp_path / "6.png").write_bytes(png(mask * np.uint8(200)))
    dark = list(ImageStream([str(tmp_path)], PIXELS, chunk=2))
    assert [named.images.max() for named in dark] == [1, 1, 1, 200]
    model = EdgeCVAE.load(TINY)
    whole = model.score(Fitted(np.concatenate([named.images for named in dark])))
    parts = [model.score(Fitted(named.images)) for named in dark]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def make_tar(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    mode = "w:gz" if path.name[-1] in "zZ" else "w"
    with tarfile.open(path, mode) as tar:
        for info, content in members:
            info.size = info.size or len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.TGZ"])
def test_an_archive_is_read_like_the_folder_it_was_made_of(folder, tmp_path, name):
    files = sorted(folder.rglob("*.png"))
    members = [(member(f"./{p.relative_to(folder)}"), p.read_bytes()) for p in files]
    image = files[0].read_bytes()
    passed = [
        (member(".hidden/a.png"), image),
        (member("text.txt"), b"text"),
        (member("link.png", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (member("same.png", tarfile.LNKTYPE, members[0][0].name), b""),
        (member("folder.png", tarfile.DIRTYPE), b""),
        (member("pipe.png", tarfile.FIFOTYPE), b""),
    ]
    path = make_tar(tmp_path / name, [*passed, *members])
    names, images, _ = together(folder)
    seen = []
    stream = ImageStream(
        [str(path)], PIXELS, on_file=lambda *n: seen.append(n), skip_broken=True, chunk=30
    )
    with pytest.warns(DataWarning, match=f"skipped: {path}/b/098.png: not a readable image"):
        chunks = list(stream)
    got = [n.removeprefix(f"{path}/") for named in chunks for n in named.names]
    assert got == [str(Path(name).relative_to(folder)) for name in names]
    got = np.concatenate([to_float(named.images) for named in chunks])
    np.testing.assert_array_equal(got, images)
    assert seen == [(i + 1, None) for i in range(100)]
    assert list(stream.inputs()) == [str(path)]


GOOD = png(np.full((8, 8), 200, np.uint8))


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("../a.png", GOOD)], "leads out of it"),
        ([("/a.png", GOOD)], "leads out of it"),
        ([("C:/a.png", GOOD)], "leads out of it"),
        ([("b/..\\..\\a.png", GOOD)], "leads out of it"),
        ([("a.txt", b"text")], "must hold images"),
        ([("a.png", GOOD), ("b" * (2 << 20), b"")], "absurdly long header"),
    ],
)
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_hostile_archives_are_refused_in_a_sentence(tmp_path, name, members, words):
    path = make_tar(tmp_path / name, [(member(n), content) for n, content in members])
    with pytest.raises(DataError, match=words):
        list(ImageStream([str(path)], PIXELS, skip_broken=True))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_an_archive_that_is_cut_short_is_refused_wherever_it_is_cut(tmp_path, name):
    path = make_tar(tmp_path / name, [(member(f"{i}.png"), GOOD) for i in range(8)])
    content = path.read_bytes()
    # Zeros fill a .tar up to 10 kB, a checksum ends a .tar.gz.
    ends = [*range(0, 8 * 1024, 97), 512, 1024] if name == "a.tar" else range(0, len(content), 5)
    for end in ends:
        path.write_bytes(content[:end])
        with pytest.raises(DataError, match="no readable archive|must hold images"):
            list(ImageStream([str(path)], PIXELS, skip_broken=True))


MEASURED = """
import json, resource, sys
from cvae_edge.cli import main
sys.argv = ["cvae-edge", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as exit_:
    print(exit_.code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def many(path: Path, n: int) -> Path:
    """Return an archive or a folder of ``n`` images of 64x64."""
    content = png(np.full((64, 64), 200, np.uint8))
    if path.suffix == ".tar":
        return make_tar(path, [(member(f"{i}.png"), content) for i in range(n)])
    path.mkdir()
    (path / "0.png").write_bytes(content)
    for i in range(1, n):
        os.link(path / "0.png", path / f"{i}.png")
    return path


@pytest.mark.parametrize("suffix", [".tar", ""])
def test_memory_does_not_grow_with_the_number_of_images(tmp_path, suffix):
    """Read all at once, 9,000 more images took 11 MB more."""
    peaks = {}
    for n in (3000, 12000):
        path = many(tmp_path / f"{n}{suffix}", n)
        words = ["score", str(path), "-b", str(TINY), "--resize", "--out", str(tmp_path / "s.csv")]
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, json.dumps(words)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        code, peak = done.stdout.splitlines()[-1].split()
        assert code == "0"
        assert len((tmp_path / "s.csv").read_text().splitlines()) == n + 1
        peaks[n] = int(peak) / 1024
    assert peaks[12000] - peaks[3000] < 6, peaks
