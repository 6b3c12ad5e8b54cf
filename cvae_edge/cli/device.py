"""The commands that run a bundle on a device: images from seeds, latents from images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cvae_edge.cli.options import (
    ALSO,
    BUNDLE,
    IMAGES,
    JSON,
    OUTPUT,
    PRIOR,
    RESIZE,
    RUNNING,
    SEED,
    SUBJECT,
    Running,
    one_bundle,
    with_running,
)
from cvae_edge.cli.output import print_json, progress_bar, say
from cvae_edge.model_config import require
from cvae_edge.quiet import quiet

if TYPE_CHECKING:
    from cvae_edge.preprocess import Pixels
    from cvae_edge.runtime.inputs import ImageStream, NamedImages
    from cvae_edge.runtime.model import EdgeCVAE

_PICTURES = (
    "What to write: a picture (.png), an array (.npy, .npz), a folder, or - for .npy on stdout."
)


@with_running
def generate(
    running: Running,
    subject: Path | None = SUBJECT,
    bundle: Path | None = ALSO,
    n: int = typer.Option(64, "-n", help="Number of images.", rich_help_panel=OUTPUT),
    seed: int = SEED,
    start: int = typer.Option(
        0, help="Index of the first image in the seed's stream.", rich_help_panel=RUNNING
    ),
    out: str = typer.Option("samples.png", help=_PICTURES, rich_help_panel=OUTPUT),
    columns: int | None = typer.Option(
        None, min=1, help="Images in a row of the picture.", rich_help_panel=OUTPUT
    ),
    prior: str = PRIOR,
    json: bool = JSON,
) -> None:
    """Generate images: draw latents from the prior and decode them."""
    bundle = one_bundle(subject, bundle)
    model = load(bundle, running, out, json, prior=prior)
    from cvae_edge.runtime.outputs import write_batches

    with counter("generating") as count:
        done = write_batches(out, model.stream(n, seed, start=start), n, columns, start, count)
    _report(done, json, out, images=n, seed=seed, start=start, model=str(model))


@with_running
def encode(
    running: Running,
    images: list[str] = IMAGES,
    bundle: Path | None = BUNDLE,
    out: str = typer.Option(
        "latents.npz", help="An .npz of mean and logvar, or - for stdout.", rich_help_panel=OUTPUT
    ),
    resize: bool = RESIZE,
    json: bool = JSON,
) -> None:
    """Encode images to the mean and log-variance of their latents."""
    model = load(bundle, running, out, json, (".npz",))
    from cvae_edge.fitting import Fitted
    from cvae_edge.runtime.rows import write_rows

    with streaming("encoding", images, model.manifest.pixels, resize) as stream:
        parts = (
            {
                name: x.in_rows(rows)
                for name, rows in model.encode(Fitted(x.images))._asdict().items()
            }
            for x in stream
        )
        n = write_rows(out, parts, stream.inputs())
    _report(f"{n} posteriors in {out}", json, out, images=n, model=str(model))


@with_running
def decode(
    running: Running,
    latents: str = typer.Argument(help="An .npy, or an .npz with z or mean, or - for stdin."),
    bundle: Path | None = BUNDLE,
    out: str = typer.Option("decoded.png", help=_PICTURES, rich_help_panel=OUTPUT),
    columns: int | None = typer.Option(
        None, min=1, help="Images in a row of the picture.", rich_help_panel=OUTPUT
    ),
    json: bool = JSON,
) -> None:
    """Decode latents to images."""
    model = load(bundle, running, out, json)
    from cvae_edge.runtime.inputs import read_latents
    from cvae_edge.runtime.outputs import write_images

    x_recon = model.decode(read_latents(latents, model.latent_dim))
    done = write_images(out, x_recon, columns, inputs=[latents])
    _report(done, json, out, images=len(x_recon), model=str(model))


@with_running
def reconstruct(
    running: Running,
    images: list[str] = IMAGES,
    bundle: Path | None = BUNDLE,
    seed: int = SEED,
    mean: bool = typer.Option(
        False,
        "--mean",
        help="Decode the mean of the posterior instead of a draw from it.",
        rich_help_panel=RUNNING,
    ),
    out: str = typer.Option("reconstructions.png", help=_PICTURES, rich_help_panel=OUTPUT),
    resize: bool = RESIZE,
    json: bool = JSON,
) -> None:
    """Encode images and decode them again. A picture shows both side by side."""
    model = load(bundle, running, out, json)
    from cvae_edge.fitting import Fitted
    from cvae_edge.runtime.outputs import write_pairs

    with streaming("reconstructing", images, model.manifest.pixels, resize) as stream:
        done, n = write_pairs(
            out, stream, lambda x, start: model.reconstruct(Fitted(x), seed, not mean, start)
        )
    _report(done, json, out, images=n, seed=seed, model=str(model))


@with_running
def interpolate(
    running: Running,
    first: str = typer.Argument(help="An image, or several in a folder or an array."),
    second: str = typer.Argument(help="As many images as FIRST."),
    bundle: Path | None = BUNDLE,
    steps: int = typer.Option(
        9,
        help="Number of images from the first to the second, both included.",
        rich_help_panel=RUNNING,
    ),
    path: str = typer.Option(
        "spherical", help="Path in latent space: spherical or linear.", rich_help_panel=RUNNING
    ),
    out: str = typer.Option("interpolation.png", help=_PICTURES, rich_help_panel=OUTPUT),
    resize: bool = RESIZE,
    prior: str = PRIOR,
    json: bool = JSON,
) -> None:
    """Decode latents between two images. A picture shows a row for each pair."""
    model = load(bundle, running, out, json, prior=prior)
    from cvae_edge.runtime.outputs import write_images
    from cvae_edge.runtime.sources import Sources

    a, b = (read([name], model.manifest.pixels, resize) for name in (first, second))
    rows = model.interpolate(a.images, b.images, steps, path)  # type: ignore[arg-type] # checked there
    x_recon = rows.reshape(-1, *model.image_shape)
    done = write_images(out, x_recon, columns=steps, inputs=Sources([first, second]).inputs())
    _report(done, json, out, images=len(rows), steps=steps, path=path, model=str(model))


def load(
    bundle: Path | None,
    running: Running,
    out: str | None = None,
    json: bool = False,
    endings: tuple[str, ...] = (),
    prior: str = "auto",
) -> EdgeCVAE:
    """Check what can be checked of the options before anything is loaded, then load."""
    if out is not None:
        from cvae_edge.runtime.outputs import check_output

        check_output(out, endings)
        require(not (json and out == "-"), "--json and --out - both want standard output", "both")
    from cvae_edge.runtime.model import EdgeCVAE

    with quiet():  # LiteRT announces its delegate
        return EdgeCVAE.load(bundle, prior=prior, **dataclasses.asdict(running))


def read(
    sources: list[str], pixels: Pixels, resize: bool, skip_broken: bool = False
) -> NamedImages:
    """Read what ``pixels`` describes, with a bar; see ``read_images``."""
    from cvae_edge.runtime.inputs import read_images

    with counter("reading images") as count:
        return read_images(sources, pixels, resize, count, skip_broken)


@contextmanager
def streaming(
    what: str, sources: list[str], pixels: Pixels, resize: bool, done: Iterable[str] = ()
) -> Iterator[ImageStream]:
    """Give images some at a time, with a bar and without those that are broken or done."""
    from cvae_edge.runtime.inputs import ImageStream

    with counter(what) as count:
        yield ImageStream(sources, pixels, resize, count, skip_broken=True, done=done)


@contextmanager
def counter(what: str) -> Iterator[Any]:
    """Give a function of (done, total) that moves a bar."""
    with progress_bar() as bar:
        task = bar.add_task(what, total=None, note="")
        yield lambda done, total: bar.update(
            task, completed=done, total=total, note="" if total else f"{done} files"
        )


def _report(done: str, json: bool, out: str, **facts: Any) -> None:
    """Say what was written: to a program with --json, else to a person."""
    if json:
        print_json({"out": out, **facts})
    else:
        say(done, err=out == "-")
