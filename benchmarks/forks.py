"""Commands in processes of their own that need not import TensorFlow again: forks of this one.

Nothing may have used TensorFlow in the process that forks; importing it is all that it does.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cvae_edge.config import DataConfig, ModelConfig, TrainConfig
from cvae_edge.training.framework import import_tensorflow

import_tensorflow()

import cvae_edge.exporters  # noqa: E402
import cvae_edge.training.launch  # noqa: E402, F401
from cvae_edge.training.run import RunConfig  # noqa: E402


def start(work: Callable[[], object], scratch: Path) -> int:
    """Start ``work`` in a fork, whose temporary files lie in ``scratch``; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        tempfile.tempdir = os.environ["TMPDIR"] = str(scratch)
        work()
        code = 0
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def finish(pid: int) -> int:
    """Wait for a process; return its exit code, or the negative of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def blobs(n: int, seed: int) -> np.ndarray:
    """Grey images (n, 8, 8) of one bright square each: something to learn."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (n, 8, 8), np.uint8)
    for image, (row, column) in zip(images, rng.integers(0, 5, (n, 2)), strict=True):
        image[row : row + 4, column : column + 4] += 180
    return images


def tiny_config(folder: Path) -> RunConfig:
    """A training of 3 epochs of 18 steps, on images that are written into ``folder``."""
    path = folder / "tiny.npz"
    np.savez(path, x_train=blobs(400, 0), x_test=blobs(100, 1))
    return RunConfig(
        ModelConfig("general", (8, 8, 1), 3, width=0.125),
        DataConfig(str(path), validation=40, binarize="draw"),
        TrainConfig(epochs=3, batch_size=20, learning_rate=1e-2, average_epochs=0.5),
    )
