"""Run every command of the README as it stands there, in a folder with what they need.

    python tests/readme_commands.py FOLDER

The package is installed; lines that install it are passed over. Commands that end with another code
than 0, or print a traceback, end this with 1.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

README = Path(__file__).parents[1] / "README.md"


def commands() -> list[str]:
    """Return the lines of the README's shell blocks that run the package."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
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


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    write_photos(folder / "photos")
    write_models(folder)
    for command in commands():
        started = time.monotonic()
        done = subprocess.run(command, shell=True, cwd=folder, stderr=subprocess.PIPE, text=True)
        sys.stderr.write(done.stderr)
        print(f"-- {command}: {time.monotonic() - started:.0f} s", flush=True)
        if done.returncode or "Traceback" in done.stderr:
            sys.exit(f"{command} ended with {done.returncode}")


if __name__ == "__main__":
    main()
