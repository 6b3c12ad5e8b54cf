"""Trains in a process of its own, and prints a line a step: CONFIG_JSON FOLDER [OPTIONS].

--strategy NAME
--signal NUMBER --at STEP    sends itself that signal after that step
"""

import argparse
import json
import os
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
parser.add_argument("--signal", type=int)
parser.add_argument("--at", type=int)
arguments = parser.parse_args()
fields = arguments.config
config = RunConfig(
    ModelConfig.from_dict(fields["model"]),
    DataConfig.from_dict(fields["data"]),
    TrainConfig.from_dict(fields["train"]),
)


def report(progress):
    print(progress.step, repr(progress.train_elbo), flush=True)
    if progress.step == arguments.at:
        os.kill(os.getpid(), arguments.signal)


folder = arguments.folder
resume = (folder / "config.json").exists()
train(folder, config, resume=resume, strategy=arguments.strategy, on_progress=report)
