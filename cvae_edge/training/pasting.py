"""Images with a part of them pasted elsewhere: what an encoder sees that is to look past defects.

As CutPaste makes anomalies (Li, Sohn, Yoon and Pfister 2021, "CutPaste: Self-supervised learning
for anomaly detection and localization"); here the decoder is to give the image without them, as in
denoising autoencoders (Vincent et al. 2008). So a reconstruction leaves out what does not belong.
"""

from __future__ import annotations

import tensorflow as tf

_STREAM = 2  # of the draws, apart from those of latents and of binary pixels
_LEAST, _MOST = 0.15, 0.45  # of a side that a patch takes


def paste_patches(
    x: tf.Tensor, share: float, batch_size: int, own: slice, seed: tf.Tensor
) -> tf.Tensor:
    """Return images with a rectangle of each taken from another place of it, edges joined.

    Args:
        x: a replica's own images (rows, h, w, c).
        share: of the images that get one; the others stay as they are.
        batch_size: of all replicas together: draws are made for all, so that their number changes
            nothing.
        own: the replica's rows.
        seed: int64 (2,), that of the step.
    """
    _, height, width, _ = x.shape
    seed = tf.random.experimental.stateless_fold_in(seed, _STREAM)
    u = tf.random.stateless_uniform([batch_size + 1, 5], seed, alg="philox")
    shift = tf.cast((0.25 + 0.5 * u[0, :2]) * [height, width], tf.int32)
    moved = tf.roll(x, shift, axis=[1, 2])
    u = u[1:][own]
    rows = _inside(height, u[:, 0], u[:, 1])[:, :, tf.newaxis]
    columns = _inside(width, u[:, 2], u[:, 3])[:, tf.newaxis, :]
    chosen = (u[:, 4] < share)[:, tf.newaxis, tf.newaxis]
    return tf.where((rows & columns & chosen)[..., tf.newaxis], moved, x)


def _inside(side: int, size: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Return which pixels of a side lie in each image's patch: (n, side)."""
    size = (_LEAST + (_MOST - _LEAST) * size) * side
    start = (place * (side - size))[:, tf.newaxis]
    pixels = tf.range(side, dtype=tf.float32)[tf.newaxis]
    return (pixels >= start) & (pixels < start + size[:, tf.newaxis])
