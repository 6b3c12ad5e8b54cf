"""The command that fits a prior to a run that has ended."""

from __future__ import annotations

from pathlib import Path

import typer

from cvae_edge.cli.extra import need_tensorflow
from cvae_edge.cli.options import DEFAULT_RUN, MOVED_DATA, TRAINING
from cvae_edge.cli.output import progress_bar, say
from cvae_edge.cli.run_summary import print_summary


def prior(
    run: Path = typer.Argument(DEFAULT_RUN, help="Finished or imported run."),
    epochs: int | None = typer.Option(
        None,
        help="Epochs of the training images. By default 4 for each epoch of the "
        "training, at most 60.",
        rich_help_panel=TRAINING,
    ),
    data: str | None = MOVED_DATA,
) -> None:
    """Fit a learned prior to a finished run, in place of its own."""
    need_tensorflow()
    from cvae_edge.training.add_prior import add_prior
    from cvae_edge.training.prior import Interrupted
    from cvae_edge.training.run import Run

    with progress_bar() as bar:
        task = bar.add_task("fitting the prior", total=None, note="")

        def on_step(done: int, steps: int) -> None:
            bar.update(task, completed=done, total=steps)

        try:
            fitted = add_prior(Run.open(run), data, on_step, epochs)
        except Interrupted as interrupted:
            bar.stop()
            say(f"\nStopped; {run} is as it was.", err=True)
            raise typer.Exit(128 + interrupted.signal) from None
    print_summary(fitted)
    say(f"\nNext: cvae-edge export {run}")
