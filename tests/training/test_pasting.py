"""Parts of images pasted elsewhere: which, from where, and that replicas do not matter."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cvae_edge.training.pasting import paste_patches

X = np.arange(40 * 20 * 16, dtype=np.float32).reshape(40, 20, 16, 1)  # no two pixels are equal


def pasted(share: float, own: slice = slice(0, 40), step: int = 3) -> np.ndarray:
    seed = tf.constant([7, step], tf.int64)
    return paste_patches(tf.constant(X[own]), share, 40, own, seed).numpy()


def test_a_patch_is_a_rectangle_of_the_same_image_from_elsewhere():
    got = pasted(1.0)
    changed = (got != X)[..., 0]
    shifts = set()
    for image, original, mask in zip(got, X, changed, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert 0.1 * 20 <= len(rows) <= 0.5 * 20
        first = image[rows[0], columns[0], 0]
        y, x = np.argwhere(original[..., 0] == first)[0]
        shifts.add(((rows[0] - y) % 20, (columns[0] - x) % 16))
        assert np.isin(image, original).all()
    assert len(shifts) == 1
    assert shifts != {(0, 0)}


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 8, 32), (1.0, 40, 40)])
def test_as_many_images_get_a_patch_as_asked(share, least, most):
    assert least <= (pasted(share) != X).any(axis=(1, 2, 3)).sum() <= most


def test_patches_depend_on_seed_and_step_and_not_on_the_replica():
    np.testing.assert_array_equal(pasted(0.7, slice(10, 25)), pasted(0.7)[10:25])
    assert (pasted(0.7, step=4) != pasted(0.7)).any()
