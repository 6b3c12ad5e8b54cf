"""Draw the README's picture: images, their reconstructions and samples, in float32 and in int8.

    python benchmarks/overview.py BUNDLE

writes export/overview.png from the bundle's golden inputs, which are test images, and seed 0.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from cvae_edge import EdgeCVAE
from cvae_edge.images import image_grid
from cvae_edge.runtime.source import open_bundle
from cvae_edge.runtime.verify import read_golden

OUT = Path(__file__).parents[1] / "export" / "overview.png"
COLUMNS = 16


def main() -> None:
    models = {p: EdgeCVAE.load(sys.argv[1], precision=p) for p in ("float32", "int8")}
    images = read_golden(open_bundle(sys.argv[1]))["x"][:COLUMNS]
    rows = {"test images": images}
    rows |= {f"reconstructed, {p}": m.reconstruct(images) for p, m in models.items()}
    rows |= {f"sampled, {p}": m.generate(COLUMNS, seed=0) for p, m in models.items()}
    figure, axes = plt.subplots(len(rows), figsize=(9, 3), dpi=130)
    for axis, (words, row) in zip(axes, rows.items(), strict=True):
        axis.imshow(image_grid(row, COLUMNS).squeeze(), cmap="gray", interpolation="nearest")
        axis.set_axis_off()
        axis.text(-0.01, 0.5, words, transform=axis.transAxes, ha="right", va="center")
    figure.subplots_adjust(left=0.2, right=0.995, top=0.99, bottom=0.01, hspace=0.05)
    figure.savefig(OUT)


if __name__ == "__main__":
    main()
