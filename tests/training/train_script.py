"""Trains in a process of its own and prints a line a step: CONFIG_JSON FOLDER [OPTIONS]."""

import argparse
import json
import os
import signal
from pathlib import Path

from cvae_edge.config import DataConfig, ModelConfig, TrainConfig
from cvae_edge.training.framework import import_tensorflow

import_tensorflow()

from cvae_edge.training.launch import train  # noqa: E402
from cvae_edge.training.run import RunConfig  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("config", type=json.loads)
parser.add_argument("folder", type=Path)
parser.add_argument("--strategy", default="default")
parser.add_argument("--kill-at", type=int, help="The step after which it kills itself.")
arguments = parser.parse_args()
fields = arguments.config
config = RunConfig(
    ModelConfig.from_dict(fields["model"]),
    DataConfig.from_dict(fields["data"]),
    TrainConfig.from_dict(fields["train"]),
)


def report(progress):
    print(progress.step, repr(progress.train_elbo), flush=True)
    if progress.step == arguments.kill_at:
        os.kill(os.getpid(), signal.SIGKILL)


folder = arguments.folder
resume = (folder / "config.json").exists()
train(folder, config, resume=resume, strategy=arguments.strategy, on_progress=report)
