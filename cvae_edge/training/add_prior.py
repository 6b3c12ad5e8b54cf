"""A learned prior for a run that has ended, or whose training happened elsewhere."""

from __future__ import annotations

from cvae_edge.config import require
from cvae_edge.errors import RunError
from cvae_edge.folders import temporary_files
from cvae_edge.interruption import interruption
from cvae_edge.training.evaluate import load_run_data, trained_codec
from cvae_edge.training.prior import OnStep, fit_prior
from cvae_edge.training.run import Run
from cvae_edge.training.run_folder import held
from cvae_edge.training.summary import summarize


@temporary_files()
def add_prior(
    run: Run,
    data: str | None = None,
    on_step: OnStep = lambda done, steps: None,
    epochs: int | None = None,
) -> Run:
    """Fit a prior to a finished run's latents and return the run, whose figures are then with it.

    A prior that it has already is replaced; what it is follows from the run and the machine alone.

    Args:
        run: whose networks stay as they are.
        data: where its data is now; None for where it was.
        on_step: called after each step.
        epochs: of its training images; see ``fit_prior``.

    Raises:
        RunError: the run has not ended, or another process writes it.
        DataError: its data cannot be read.
        ConfigError, TrainingError: epochs below 1; and see ``fit_prior``.
        Interrupted: a signal came; the run is as it was.
    """
    require(epochs is None or epochs >= 1, "epochs must be at least 1", epochs)
    if run.summary is None:
        raise RunError(
            f"a prior is fitted to a run that has ended, and {run.folder} has not: cvae-edge train "
            f"--resume --out {run.folder} ends it"
        )
    vae, dataset = run.vae(), load_run_data(run, data)
    with held(run.folder), interruption() as asked:
        config = run.config.train
        fitted = fit_prior(trained_codec(vae), dataset, config, on_step, asked, epochs)
        weights, likelihood = run.read_weights()
        figures = summarize(vae, dataset, likelihood, fitted)
        run.save_weights(weights, likelihood, fitted.flow)
        run.finish({**run.summary, **figures})
    return run
