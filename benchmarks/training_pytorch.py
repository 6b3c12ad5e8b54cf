"""The PyTorch loop of training.py, eager and channels_last, in a process without TensorFlow.

``training.py`` starts it with the loop's name, the batch size and the images a turn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from turns import serve, timed

from cvae_edge.datasets.packaged import read_mnist

Turn = Callable[[], None]


def pytorch(images: np.ndarray, batch_size: int) -> Turn:
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 3, 2), nn.ReLU(), nn.Conv2d(32, 64, 3, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(2304, 100),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(50, 1568), nn.ReLU(), nn.Unflatten(1, (32, 7, 7)),
        nn.ConvTranspose2d(32, 64, 3, 2, 1, 1), nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 3, 2, 1, 1), nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 3, 1, 1),
    )  # fmt: skip
    networks = nn.Sequential(encoder, decoder).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(networks.parameters(), 1e-4)
    x = torch.from_numpy(images.astype(np.float32).transpose(0, 3, 1, 2) / 255)
    x = x.contiguous(memory_format=torch.channels_last)

    def turn() -> None:
        for i in range(0, len(x), batch_size):
            batch = x[i : i + batch_size]
            mean, logvar = encoder(batch).chunk(2, dim=1)
            eps = torch.randn_like(mean)
            z = mean + (logvar / 2).exp() * eps
            cross_entropy = functional.binary_cross_entropy_with_logits(
                decoder(z), batch, reduction="sum"
            )
            kl = (z * z - eps * eps - logvar).sum() / 2
            loss = (cross_entropy + kl) / len(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return turn


def main() -> None:
    batch_size, images = int(sys.argv[2]), int(sys.argv[3])
    serve(lambda: timed(pytorch(read_mnist()[0].images[:images], batch_size)))


if __name__ == "__main__":
    main()
