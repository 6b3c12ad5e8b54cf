"""What a recipe reaches: test ELBO after every epoch, and the minutes it took.

    python benchmarks/recipes.py fast
    python benchmarks/recipes.py seed --epochs 5 --validation 0

Test images are looked at to report, never to choose: what is kept is the recipe's own choice by
validation images.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import record

from cvae_edge.config import RECIPES, DataConfig, ModelConfig
from cvae_edge.training.framework import import_tensorflow

import_tensorflow()

from cvae_edge.architectures.presets import build_preset  # noqa: E402
from cvae_edge.datasets import load_dataset  # noqa: E402
from cvae_edge.elbo import evaluate  # noqa: E402
from cvae_edge.training.evaluate import trained_codec  # noqa: E402
from cvae_edge.training.launch import train  # noqa: E402
from cvae_edge.training.run import Run, RunConfig  # noqa: E402

SEED_100_EPOCHS = -78.26  # test ELBO in nats of the seed's recipe after its 100 epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--validation", type=int)
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.recipe]
    recipe = dataclasses.replace(recipe, epochs=arguments.epochs or recipe.epochs)
    config = RunConfig(ModelConfig(), DataConfig(validation=arguments.validation), recipe)
    dataset = load_dataset(config.data)
    vae = build_preset(config.model)
    codec = trained_codec(vae)
    epochs = []
    with tempfile.TemporaryDirectory() as folder:
        run_folder = Path(folder) / "run"

        def on_epoch(row: dict[str, float]) -> None:
            weights, likelihood = Run.open(run_folder).read_weights()
            vae.load_weights(weights)
            test = evaluate(codec, dataset.test.images, dataset.binarize, likelihood)
            epochs.append({**row, "test_elbo": test.elbo})
            print(f"epoch {row['epoch']:g}: test ELBO {test.elbo:.2f}", flush=True)

        run = train(run_folder, config, dataset, on_epoch=on_epoch)
        summary = run.summary
    held_out = len(dataset.validation)
    rows = [
        (
            f"{row['epoch']:g}",
            f"{row['validation_elbo']:.2f}" if held_out else "",
            f"{row['test_elbo']:.2f}",
            f"{sum(r['seconds'] for r in epochs[: i + 1]) / 60:.1f}",
        )
        for i, row in enumerate(epochs)
    ]
    text = record.markdown_table(("epoch", "validation ELBO", "test ELBO", "minutes"), rows)
    text += (
        f"\nNats per image, one sample; {len(dataset.train)} images to train on, {held_out} to "
        f"validate. The seed's recipe reaches {SEED_100_EPOCHS} after 100 epochs.\n"
    )
    record.write(
        f"recipe_{arguments.recipe}",
        {"config": config.to_dict(), "summary": summary, "epochs": epochs},
        f"Recipe {arguments.recipe}",
        text,
    )


if __name__ == "__main__":
    main()
