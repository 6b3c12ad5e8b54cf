"""What a run came to, printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvae_edge.cli.output import print_table

if TYPE_CHECKING:
    from cvae_edge.training.run import Run


def print_summary(run: Run) -> None:
    """Print what a finished run came to."""
    from cvae_edge.likelihoods import unit

    summary = run.summary or {}
    likelihood = run.likelihood()
    elbo = f"{summary['test_elbo']:.2f} ± {summary['test_elbo_standard_error']:.2f}"
    rows = [("trained on", f"{summary['train_images']} images")]
    if "epochs" in summary:
        rows += [
            ("epochs", f"{summary['epochs']}, best {summary['best_epoch']}"),
            ("time", f"{summary['seconds'] / 60:.1f} min"),
        ]
    rows.append(
        ("likelihood", " ".join((likelihood.name, *(f"{s:.4g}" for s in likelihood.scale))))
    )
    rows.append(("test ELBO", f"{elbo} {unit(likelihood.name, summary['binarize'])}"))
    if "test_elbo_standard_prior" in summary:
        rows.append(("with the standard prior", f"{summary['test_elbo_standard_prior']:.2f}"))
    if "test_bits_per_dim" in summary:
        rows.append(("test bits per dimension", f"{summary['test_bits_per_dim']:.3f}"))
    if "test_psnr" in summary:
        rows.append(("test PSNR", f"{summary['test_psnr']:.2f} dB"))
    there = [n for n in ("training-curve.png", "reconstructions.png") if (run.folder / n).exists()]
    rows.append(("pictures", ", ".join(there)))
    print_table(str(run.folder), ["run", ""], rows)
