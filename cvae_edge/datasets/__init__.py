"""Data sets: the packaged MNIST, and readers for what users bring. Needs numpy and Pillow."""

from cvae_edge.datasets.dataset import Dataset, Split
from cvae_edge.datasets.load import load_dataset

__all__ = ["Dataset", "Split", "load_dataset"]
