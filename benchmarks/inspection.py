"""Does a monitor find what is wrong with a tile, and where? And do its false alarms hold?

    python benchmarks/inspection.py TILES [--bundle BUNDLE] [--epochs 60]

TILES is an .npz of x_train (good tiles), test_images, test_labels (0 is good) and test_masks (bits
along the last axis). A model is trained on the first 450 good tiles and exported, unless BUNDLE was
made so before; the others fit each method. Settings were chosen on the first third of each class of
the test images; figures are those of the rest. Results go to
benchmarks/results/MACHINE/inspection.json and .md.

"Beside defects" is the image ROC AUC where the cells that a defect touches are left out, and the
same cells of good tiles: what of the figure is not the defect.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import record
from anomaly import peers, roc_auc

from cvae_edge import EdgeCVAE
from cvae_edge.monitor.fitting import fit
from cvae_edge.monitor.methods import METHODS
from cvae_edge.monitor.monitor import features_of
from cvae_edge.monitor.rates import rank_of
from cvae_edge.monitor.windows import enlarge
from cvae_edge.runtime.monitoring import fit_bundle

TRAINED = 450
CLASSES = ("good", "blowhole", "break", "crack", "fray", "uneven")
PRECISIONS = ("float32", "int8")
SPLITS, RATES = 20, (0.01, 0.05)
PIXELS = 2  # every how manieth row and column is looked at, for pixel figures


class Tiles:
    """Good tiles that fit a monitor, and test tiles of a part."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as data:
            x = data["x_train"][..., np.newaxis]
            self.train, self.good = x[:TRAINED], x[TRAINED:]
            self.images, self.labels = data["test_images"][..., np.newaxis], data["test_labels"]
            self.masks = np.unpackbits(data["test_masks"], axis=-1) > 0
        self.chosen = np.zeros(len(self.labels), bool)  # what settings were chosen on
        for label in np.unique(self.labels):
            of_class = np.flatnonzero(self.labels == label)
            self.chosen[of_class[: len(of_class) // 3]] = True


def make_bundle(tiles: Tiles, epochs: int, folder: Path) -> Path:
    """Train, export to ONNX in float32 and int8, and return the bundle."""
    import dataclasses

    from cvae_edge.config import RECIPES, DataConfig, ModelConfig
    from cvae_edge.exporters import export_bundle
    from cvae_edge.training import launch
    from cvae_edge.training.run import RunConfig

    data = folder / "tiles.npz"
    np.savez(data, x_train=tiles.train[:-30], x_test=tiles.train[-30:])
    recipe = dataclasses.replace(RECIPES["general"], epochs=epochs, likelihood="gaussian")
    model = ModelConfig("general", tiles.train.shape[1:], 64, width=0.5)
    launch.train(folder / "run", RunConfig(model, DataConfig(str(data), validation=30), recipe))
    export_bundle(folder / "run", folder / "bundle", ("onnx",), ("int8",), max_elbo_drop=1e3)
    return folder / "bundle"


def aucs(distance: np.ndarray, heat: Any, tiles: Tiles, part: np.ndarray) -> Any:
    """Return the ROC AUC of images, by class too, and of pixels where there is a heat map."""
    labels, distance = tiles.labels[part], distance[part]
    good = distance[labels == 0]
    figures: dict[str, Any] = {"image": roc_auc(good, distance[labels > 0])}
    for label, name in enumerate(CLASSES[1:], 1):
        figures[name] = roc_auc(good, distance[labels == label])
    if heat is not None:
        thin = (slice(None), slice(None, None, PIXELS), slice(None, None, PIXELS))
        masks, hot = tiles.masks[part][thin], heat[part][thin]
        figures["pixel"] = roc_auc(hot[~masks], hot[masks])
        for label, name in enumerate(CLASSES[1:], 1):
            own, mask = hot[labels == label], masks[labels == label]
            figures[f"pixel, {name}"] = roc_auc(own[~mask], own[mask])
    return {name: round(value, 4) for name, value in figures.items()}


def by_method(model: EdgeCVAE, tiles: Tiles) -> dict[str, Any]:
    """Return each method's figures on both parts of the test images."""
    result = {}
    for name, method in METHODS.items():
        good, seen = (features_of(model, method, x) for x in (tiles.good, tiles.images))
        statistics = method.fit(good)
        heat = None
        if method.map is not None:
            heat = enlarge(
                method.map(seen, statistics, tiles.images.shape[1:]), tiles.images.shape[1:3]
            )
        distance = method.distance(seen, statistics)
        parts = {"chosen on": tiles.chosen, "reported": ~tiles.chosen}
        result[name] = {k: aucs(distance, heat, tiles, part) for k, part in parts.items()}
    return result


def beside_defects(model: EdgeCVAE, tiles: Tiles) -> float:
    """Return the image ROC AUC of method field over cells that no defect touches."""
    method = METHODS["field"]
    good, seen = (features_of(model, method, x) for x in (tiles.good, tiles.images))
    statistics = method.fit(good)
    rows, columns = (np.linspace(0, 128, 16, endpoint=False).astype(int) for _ in range(2))
    blocks = np.add.reduceat(np.add.reduceat(tiles.masks, rows, axis=1), columns, axis=2) > 0
    grown = np.pad(blocks, ((0, 0), (1, 1), (1, 1)))  # what a blur carries further
    touched = np.zeros((len(seen), 15, 15), bool)
    for i in range(4):
        for j in range(4):
            touched |= grown[:, i : i + 15, j : j + 15]
    free = ~touched.reshape(len(seen), -1)  # of the fine grid
    part = np.flatnonzero(~tiles.chosen)
    bad = part[tiles.labels[part] > 0]
    rng = np.random.default_rng(0)
    inverse = np.linalg.inv(statistics["whitening"].astype(np.float64))
    covariance = inverse @ inverse.T
    logs = np.log(seen + statistics["floor"])
    standard = (logs - statistics["mean"]) / statistics["spread"]
    distances: dict[bool, list[float]] = {False: [], True: []}
    for i in part:
        anomalous = bool(tiles.labels[i] > 0)
        cells = np.flatnonzero(free[i] if anomalous else free[rng.choice(bad)])
        if len(cells) >= 40:
            u = standard[i, cells]
            d = u @ np.linalg.solve(covariance[np.ix_(cells, cells)], u) / len(cells)
            distances[anomalous].append(float(d))
    return round(roc_auc(np.array(distances[False]), np.array(distances[True])), 4)


def false_alarms(model: EdgeCVAE, images: np.ndarray) -> dict[str, Any]:
    """Fit on halves of good tiles, 20 times, and count what the monitors say of the others."""
    method = METHODS["field"]
    features = features_of(model, method, images)
    result: dict[str, Any] = {}
    for rate in RATES:
        shares, intervals, inside = [], [], 0
        n = len(features) // 2
        try:
            rank_of(n, rate)
        except Exception as error:
            result[f"{rate:g}"] = {"refused": str(error)}
            continue
        for split in range(SPLITS):
            order = np.random.default_rng(split).permutation(len(features))
            fitted = fit(method, features[order[:n]], images.shape[1:], 1, rate)
            aside = method.distance(features[order[n:]], fitted.statistics)
            share = float((aside > fitted.threshold).mean())
            low, high = fitted.interval
            # a count of so few images wavers by itself
            noise = 1.96 * np.sqrt(share * (1 - share) / len(aside))
            inside += bool(low <= share + noise and share - noise <= high)
            shares.append(round(share, 4))
            intervals.append([round(low, 4), round(high, 4)])
        result[f"{rate:g}"] = {"shares": shares, "interval": intervals[0], "inside": inside}
    return result


def speed(bundle: Path, images: np.ndarray) -> float:
    """Return images a second of score and heat map, int8, one thread; the best of five rounds.

    A second is one of the processor's: others may use the machine.
    """
    model = EdgeCVAE.load(bundle, precision="int8", threads=1)
    monitor = model.monitor
    monitor.check(images[:8])
    best = 0.0
    for _ in range(5):
        started = time.process_time()
        monitor.check(images)
        best = max(best, len(images) / (time.process_time() - started))
    return round(best, 1)


def write(figures: dict[str, Any]) -> None:
    """Keep tables: methods, classes, and what holds of the default."""
    of = figures["methods"]
    columns = ["method", "image", "chosen on", *CLASSES[1:], "pixel", "int8, image"]
    rows = []
    for name, parts in of["float32"].items():
        told, other = parts["reported"], of["int8"][name]["reported"]
        pixel = f"{told['pixel']:.3f}" if "pixel" in told else ""
        images = [told["image"], parts["chosen on"]["image"], *(told[c] for c in CLASSES[1:])]
        rows.append([name, *(f"{a:.3f}" for a in images), pixel, f"{other['image']:.3f}"])
    for name, auc in figures["peers"].items():
        rows.append([name, f"{auc:.3f}", *[""] * 8])
    told = of["float32"]["field"]["reported"]
    text = record.markdown_table(columns, rows) + "\nWhere, method field:\n\n"
    text += record.markdown_table(
        ["pixels", *CLASSES[1:]],
        [[f"{told['pixel']:.3f}", *(f"{told[f'pixel, {c}']:.3f}" for c in CLASSES[1:])]],
    )
    text += (
        f"\nBeside defects: {figures['beside_defects']:.3f}. Verdicts of float32 and int8 that "
        f"differ: {figures['verdicts_that_differ']:.2%}. Score and heat map, int8, one thread: "
        f"{figures['images_a_second']} images a second of processor time. The int8 files "
        f"and the monitor: "
        f"{figures['bytes'] / 1e6:.2f} MB.\n"
    )
    for rate, alarms in figures["false_alarms"].items():
        text += f"\nFalse alarms, asked for {float(rate):.0%}: "
        text += alarms.get("refused") or (
            f"{np.mean(alarms['shares']):.2%} over {SPLITS} splits, stated "
            f"{alarms['interval'][0]:.1%} to {alarms['interval'][1]:.1%}; {alarms['inside']} of "
            f"{SPLITS} splits agree with it"
        )
        text += ".\n"
    record.write("inspection", figures, "Tiles with defects: image and pixel ROC AUC", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    tiles = Tiles(options.tiles)
    with tempfile.TemporaryDirectory() as folder:
        bundle = options.bundle or make_bundle(tiles, options.epochs, Path(folder))
        models = {p: EdgeCVAE.load(bundle, precision=p) for p in PRECISIONS}
        good = np.concatenate([tiles.good, tiles.images[tiles.labels == 0]])
        figures: dict[str, Any] = {
            "versions": record.versions("onnxruntime", "numpy", "scikit-learn"),
            "methods": {p: by_method(m, tiles) for p, m in models.items()},
            "beside_defects": beside_defects(models["float32"], tiles),
            "false_alarms": false_alarms(models["float32"], good),
        }
        reported = tiles.images[~tiles.chosen]
        is_bad = tiles.labels[~tiles.chosen] > 0
        seen = np.concatenate([tiles.train, tiles.good])
        figures["peers"] = peers(seen, reported[~is_bad], reported[is_bad])
        fit_bundle(bundle, tiles.good, false_alarms=0.05, precisions=PRECISIONS)
        verdicts = [
            EdgeCVAE.load(bundle, precision=p).monitor.check(tiles.images).anomalous
            for p in PRECISIONS
        ]
        figures["verdicts_that_differ"] = float((verdicts[0] != verdicts[1]).mean())
        fit_bundle(bundle, tiles.good, false_alarms=0.05, precisions=["int8"])
        figures["images_a_second"] = speed(bundle, tiles.images[:256])
        needed = [*bundle.glob("*.int8.onnx"), *bundle.glob("monitor.*"), bundle / "manifest.json"]
        figures["bytes"] = sum(path.stat().st_size for path in needed)
        write(figures)


if __name__ == "__main__":
    main()
