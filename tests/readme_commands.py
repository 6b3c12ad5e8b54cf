"""Run every command of the README, and the notebook, in a folder with what they need.

    python tests/readme_commands.py FOLDER

The package is installed; lines that install it are passed over, and those of npm where there is no
npm. A command that ends with another code than 0 or prints a traceback ends this with 1.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]


def commands() -> list[str]:
    """Return the lines of the README's shell blocks that run the package."""
    blocks = re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    lines = [line for block in blocks for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [part for part in parts if part.startswith("cvae-edge")]


def write_photos(folder: Path) -> None:
    """Write 150 colour images of 64x64, each of a bright disc somewhere."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    for i in range(150):
        row, column = rng.integers(16, 48, 2)
        disc = (rows - row) ** 2 + (columns - column) ** 2 < rng.integers(50, 200)
        image = np.where(disc[..., np.newaxis], rng.integers(128, 256, 3), rng.integers(0, 128, 3))
        Image.fromarray(image.astype(np.uint8)).save(folder / f"{i}.png")


def write_models(folder: Path) -> None:
    """Write a small encoder and decoder for such images, as Keras saves them."""
    import keras

    layers = keras.layers
    x, z = keras.Input((64, 64, 3)), keras.Input((8,))
    features = layers.Flatten()(layers.Conv2D(8, 4, 4, "same", activation="relu")(x))
    encoder = keras.Model(x, [layers.Dense(8)(features), layers.Dense(8)(features)])
    low = layers.Reshape((16, 16, 8))(layers.Dense(2048, "relu")(z))
    decoder = keras.Model(z, layers.Conv2DTranspose(3, 4, 4, "same")(low))
    encoder.save(folder / "encoder.keras")
    decoder.save(folder / "decoder.keras")


def run(command: str, folder: Path) -> None:
    started = time.monotonic()
    done = subprocess.run(command, shell=True, cwd=folder, stderr=subprocess.PIPE, text=True)
    sys.stderr.write(done.stderr)
    print(f"-- {command}: {time.monotonic() - started:.0f} s", flush=True)
    if done.returncode or "Traceback" in done.stderr:
        sys.exit(f"{command} ended with {done.returncode}")


def run_notebook(folder: Path) -> None:
    """Run the notebook's cells as Jupyter does: ! is a command, the rest is Python."""
    notebook = json.loads((ROOT / "export" / "own_images.ipynb").read_text())
    os.chdir(folder)
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        lines = "".join(cell["source"]).splitlines() if cell["cell_type"] == "code" else []
        if any("npm" in line for line in lines) and shutil.which("npm") is None:
            print("-- no npm: the notebook's page is not made")
            continue
        for line in lines:
            if line.startswith("!"):
                run(line[1:], folder)
        exec("\n".join(line for line in lines if line[:1] not in ("!", "%")), names)


def main() -> None:
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True)
    write_photos(folder / "photos")
    write_models(folder)
    for command in commands():
        run(command, folder)
    (folder / "notebook").mkdir()
    (folder / "photos").rename(folder / "notebook" / "photos")
    run_notebook(folder / "notebook")


if __name__ == "__main__":
    main()
