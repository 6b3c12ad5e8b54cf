"""``python -m cvae_edge.datasets IDX_FOLDER`` packs MNIST's original IDX files into mnist.npz."""

import sys
from pathlib import Path

from cvae_edge.datasets.packaged import pack_mnist

pack_mnist(Path(sys.argv[1]))
