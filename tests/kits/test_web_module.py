"""The ES module in Node gives what the package gives in Python."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from kits.browser import WEB, answers, need_package, node

from cvae_edge import EdgeCVAE, noise
from cvae_edge.fitting import fit_image
from cvae_edge.kits.folder import sources
from cvae_edge.likelihoods import make_likelihood
from cvae_edge.preprocess import Pixels
from cvae_edge.runtime.source import reference_bundle

DATA = Path(__file__).parents[1] / "data"
TINY = DATA / "tiny"
# Until then Pillow resampled rows first, always.
PIXEL_TOLERANCE = 0 if int(PIL.__version__.split(".")[0]) >= 13 else 3


def array(values: np.ndarray) -> dict[str, Any]:
    return {
        "data": values.ravel().tolist(),
        "shape": list(values.shape),
        "bytes": values.dtype == np.uint8,
    }


def test_the_modules_own_tests_pass():
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed")
    bundle = {"WEB": str(sources("web")), "BUNDLE": str(TINY)}
    done = subprocess.run(
        [program, "--test", str(WEB / "module.test.js")],
        env={**os.environ, **bundle},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_types_name_every_method_and_nothing_else():
    folder = sources("web") / "cvae-edge"
    code, types = (folder / "cvae-edge.js").read_text(), (folder / "cvae-edge.d.ts").read_text()
    body = code[code.index("export class EdgeCVAE") : code.index("\nfunction none")]
    methods = set(re.findall(r"^  (?:static )?(?:async )?(\w+)\(", body, re.M)) - {"constructor"}
    declared = types[types.index("export class EdgeCVAE") : types.index("/** Read an image file")]
    assert set(re.findall(r"^  (?:static )?(\w+)\(", declared, re.M)) == methods
    exported = re.search(r"export \{([^}]*)\}", code)
    assert exported
    functions = set(re.findall(r"^export (?:function|class) (\w+)", types, re.M))
    assert functions == {*re.findall(r"\w+", exported[1]), "EdgeCVAE"}


def test_latents_are_pythons_to_the_bit(tmp_path):
    cases = [
        {"n": 2000, "latentDim": 50, "seed": 0, "start": 0, "sample": 0},
        {"n": 3, "latentDim": 7, "seed": 2**64 - 1, "start": 2**64 - 3, "sample": 5},
        {"n": 1, "latentDim": 2, "seed": 12345, "start": 10**18, "sample": 2**64 - 1},
    ]
    asked = [{"call": "noise", **{k: str(v) for k, v in c.items()}} for c in cases]
    for request, case in zip(asked, cases, strict=True):
        request |= {"n": case["n"], "latentDim": case["latentDim"]}
    for case, told in zip(cases, answers(tmp_path, asked), strict=True):
        n, latent_dim, seed, start, sample = case.values()
        expected = noise.standard_normal(n, latent_dim, seed, start, sample)
        np.testing.assert_array_equal(np.float32(told), expected.ravel())


def test_pixels_are_fitted_as_in_python(tmp_path):
    rng = np.random.default_rng(0)
    asked, expected = [], []
    for fit in ("stretch", "crop", "pad"):
        for own in (1, 2, 3, 4):
            for channels in (1, 2, 3, 4):
                for size in ((28, 20), (31, 17), (100, 63), (9, 90), (5, 5)):
                    image = rng.integers(0, 256, (*size, own), np.uint8)
                    if own % 2 == 0:
                        image[image[..., -1] < 60] = 0
                    pixels = Pixels((28, 20, channels), fit, "#3a7fe1")
                    asked.append({"call": "fit", "image": array(image), "pixels": pixels.to_dict()})
                    expected.append(fit_image(image, pixels))
    for image, told in zip(expected, answers(tmp_path, asked), strict=True):
        difference = np.abs(image.ravel().astype(int) - told)
        if PIXEL_TOLERANCE == 0 or image.shape[2] % 2:  # dividing by a small alpha magnifies
            assert difference.max() <= PIXEL_TOLERANCE


@pytest.mark.parametrize(
    ("name", "scale"), [("bernoulli", []), ("gaussian", [0.07]), ("logistic", [0.02, 0.05, 0.3])]
)
def test_likelihoods_are_pythons(tmp_path, name, scale):
    rng = np.random.default_rng(1)
    x = (rng.integers(0, 256, (20, 6, 5, 3)) / 255).astype(np.float32)
    x[:4] = np.rint(x[:4])
    logits = rng.normal(0, 6, x.shape).astype(np.float32)
    entry = {"name": name, "scale": scale}
    asked = [
        {"call": "likelihood", "x": array(a), "logits": array(b), "entry": entry, "channels": 3}
        for a, b in zip(x, logits, strict=True)
    ]
    expected = make_likelihood(name, scale, 3).log_prob(x, logits)
    told = np.array(answers(tmp_path, asked)).ravel()
    np.testing.assert_allclose(told, expected, rtol=2e-5)


def test_a_learned_prior_is_drawn_from_and_scored_as_in_python(tmp_path, prior_bundle):
    need_package("onnxruntime-node")
    model = EdgeCVAE.load(prior_bundle, format="onnx", threads=1)
    x = model.generate(8, seed=5)
    verbs = {
        "generate": ([8], {"seed": 5}, {"data": x.ravel()}),
        "interpolate": (
            [array(x[:2]), array(x[2:4])],
            {"steps": 3},
            {"data": model.interpolate(x[:2], x[2:4], steps=3).ravel()},
        ),
        "bounds": ([array(x)], {"samples": 3, "seed": 1}, model.bounds(x, samples=3, seed=1)),
    }
    asked = [
        {"call": "verb", "bundle": str(prior_bundle), "precision": "float32", "verb": verb}
        | {"args": args, "options": options}
        for verb, (args, options, _) in verbs.items()
    ]
    *told, at_mean = answers(tmp_path, [*asked, asked[-1] | {"options": {}}])
    expected = [*(given for _, _, given in verbs.values()), model.bounds(x)]
    for found, wanted in zip([*told, at_mean], expected, strict=True):
        for name, values in wanted.items():
            np.testing.assert_allclose(found[name], values, atol=2e-3, err_msg=name)
    assert set(told[-1]) == set(expected[-2])
    assert np.abs(x - EdgeCVAE.load(TINY, format="onnx").generate(8, seed=5)).max() > 0.1


@pytest.mark.parametrize("bundle", [TINY, reference_bundle()], ids=["tiny", "reference"])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_every_verb_gives_what_python_gives(tmp_path, bundle, precision):
    need_package("onnxruntime-node")
    model = EdgeCVAE.load(bundle, precision=precision, format="onnx", threads=1)
    x = model.generate(40, seed=5)
    z = model.encode(x).mean
    verbs = {
        "generate": ([40], {"seed": 5}, x),
        "decode": ([array(z)], {}, model.decode(z)),
        "reconstruct": ([array(x)], {"seed": 7}, model.reconstruct(x, seed=7)),
        "interpolate": (
            [array(x[:2]), array(x[2:4])],
            {"steps": 4},
            model.interpolate(x[:2], x[2:4], steps=4),
        ),
        "score": ([array(x)], {"samples": 3, "seed": 1}, model.score(x, samples=3, seed=1)),
    }
    asked = [
        {"call": "verb", "bundle": str(bundle), "precision": precision, "verb": verb}
        | {"args": args, "options": options}
        for verb, (args, options, _) in verbs.items()
    ]
    means = {"verb": "reconstruct", "options": {"sample": False}}
    bounds = {"verb": "bounds", "options": {}}
    asked += [asked[-1] | means, asked[-1] | bounds]
    *told, at_mean, told_bounds = answers(tmp_path, asked)
    # Another version of onnxruntime may round an integer otherwise.
    of_score = 2e-3 if precision == "float32" else 0.3
    of_pixel = model.manifest.find("decoder", "onnx", precision).tolerance["x_logits"] / 4
    for (verb, (_, _, expected)), value in zip(verbs.items(), told, strict=True):
        got = np.array(value if verb == "score" else value["data"])
        tolerance = of_score if verb == "score" else of_pixel
        np.testing.assert_allclose(got, expected.ravel(), atol=tolerance, err_msg=verb)
    expected = model.reconstruct(x, sample=False)
    np.testing.assert_allclose(at_mean["data"], expected.ravel(), atol=of_pixel)
    for name, values in model.bounds(x).items():
        np.testing.assert_allclose(told_bounds[name], values, atol=of_score, err_msg=name)


def test_a_precision_that_is_not_there_is_named(tmp_path):
    need_package("onnxruntime-node")
    asked, told = tmp_path / "requests.json", tmp_path / "answers.json"
    request = {"call": "verb", "bundle": str(TINY), "precision": "int3", "verb": "generate"}
    asked.write_text(json.dumps([request | {"args": []}]))
    node("answer.js", sources("web"), asked, told)
    assert "has no int3 ONNX file; it has: encoder.onnx" in told.read_text()
