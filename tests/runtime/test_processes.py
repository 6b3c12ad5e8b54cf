"""A model in other processes: copied, pickled, spawned, forked."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

from cvae_edge import EdgeCVAE

FORK = """
import os, sys
import numpy as np
from cvae_edge import EdgeCVAE
model = EdgeCVAE.load(sys.argv[1], format=sys.argv[2], threads=2)
expected = [model.generate(n) for n in (1, 40)]
child = os.fork()
if child == 0:
    if sys.argv[3] == "used":
        assert all((model.generate(len(x)) == x).all() for x in expected)
        model.encode(expected[1])
    sys.exit(7)  # which destroys what it can
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert (model.generate(40) == expected[1]).all()
print("done")
"""


@pytest.mark.parametrize("of", ["folder", "memory"])
def test_a_pickled_or_copied_model_is_the_same_wherever_its_folder_is(tiny, tmp_path, of):
    folder = tmp_path / "bundle"
    shutil.copytree(tiny, folder)
    source = folder if of == "folder" else {f.name: f.read_bytes() for f in tiny.iterdir()}
    model = EdgeCVAE.load(source, threads=2, precision="int8")
    expected = model.generate(40, seed=3)
    pickled = pickle.dumps(model)
    shutil.rmtree(folder)
    for again in (pickle.loads(pickled), copy.deepcopy(model), copy.copy(model)):
        np.testing.assert_array_equal(again.generate(40, seed=3), expected)
        assert repr(again) == repr(model)
        np.testing.assert_array_equal(again.encode(expected).mean, model.encode(expected).mean)


def test_a_model_of_version_1_is_pickled_too(tiny):
    model = EdgeCVAE.load(tiny.parent / "v1")
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.generate(3), model.generate(3))


def test_a_model_may_be_passed_to_a_spawned_process(model):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        got = pool.apply(model.generate, (40, 3))
    np.testing.assert_array_equal(got, model.generate(40, 3))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
@pytest.mark.parametrize("use", ["used", "unused"])
@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_a_forked_process_runs_the_model_and_ends(tiny, format, use):
    if format == "tflite":
        pytest.importorskip("ai_edge_litert")
    for _ in range(2):  # a session that waits for its threads hangs three times in four
        done = subprocess.run(
            [sys.executable, "-c", FORK, str(tiny), format, use],
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.stdout == "done\n", done.stderr
