"""Trains in a process of its own: CONFIG_JSON FOLDER STRATEGY; a line a step on standard output."""

import json
import sys
from pathlib import Path

from cvae_edge.config import DataConfig, ModelConfig, TrainConfig
from cvae_edge.training.framework import import_tensorflow

import_tensorflow()

from cvae_edge.training.launch import train  # noqa: E402
from cvae_edge.training.run import RunConfig  # noqa: E402

fields = json.loads(sys.argv[1])
config = RunConfig(
    ModelConfig.from_dict(fields["model"]),
    DataConfig.from_dict(fields["data"]),
    TrainConfig.from_dict(fields["train"]),
)


def report(progress):
    print(progress.step, repr(progress.train_elbo), flush=True)


folder = Path(sys.argv[2])
resume = (folder / "config.json").exists()
train(folder, config, resume=resume, strategy=sys.argv[3], on_progress=report)
