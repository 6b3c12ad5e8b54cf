"""TensorFlow's formulas are numpy's, and their gradients those of finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from cvae_edge import elbo as numpy_elbo
from cvae_edge.architectures.flow import Flow, new_flow
from cvae_edge.codec import Codec
from cvae_edge.likelihoods import LIKELIHOODS, make_likelihood
from cvae_edge.training import elbo
from cvae_edge.training.evaluate import as_graph
from cvae_edge.training.likelihoods import LOG_PROBS

SCALES = {"bernoulli": (), "gaussian": (0.1,), "logistic": (0.1, 0.03, 0.3)}


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    mean, logvar, eps = rng.normal(size=(3, 6, 5)).astype(np.float32)
    x = (rng.integers(0, 256, (6, 4, 3, 3)) / 255).astype(np.float32)
    x[0, 0, 0], x[0, 0, 1] = 0, 1
    logits = rng.normal(0, 2, x.shape).astype(np.float32)
    return mean, logvar, eps, x, logits


def test_tensorflow_and_numpy_have_one_formula(arrays):
    mean, logvar, eps, _, _ = arrays
    z = numpy_elbo.reparameterize(mean, logvar, eps)
    for name, arguments in {
        "reparameterize": (mean, logvar, eps),
        "kl_sample": (z, logvar, eps),
        "kl_analytic": (mean, logvar),
    }.items():
        np.testing.assert_allclose(
            getattr(elbo, name)(*arguments).numpy(),
            getattr(numpy_elbo, name)(*arguments),
            rtol=2e-5,
            atol=1e-5,
            err_msg=name,
        )


def test_a_learned_priors_gain_is_numpys_and_has_a_gradient(arrays):
    z = tf.constant(arrays[0])
    flow, rng = new_flow(5, 0, 1, 8), np.random.default_rng(3)
    bent = {name: v + rng.normal(0, 0.2, v.shape).astype("f") for name, v in flow.weights.items()}
    density = Flow(bent).density()
    with tf.GradientTape() as tape:
        tape.watch(z)
        gain = elbo.prior_gain(density, z)
    expected = Codec(density=as_graph(density)).prior_gain(z.numpy())
    np.testing.assert_allclose(gain.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert np.abs(tape.gradient(gain, z).numpy()).max() > 0.01


def test_every_likelihood_has_both_forms():
    assert set(LOG_PROBS) == set(LIKELIHOODS) == set(SCALES)


@pytest.mark.parametrize("name", LOG_PROBS)
def test_likelihoods_are_numpys(arrays, name):
    x, logits = arrays[3:]
    got = LOG_PROBS[name](x, logits, tf.constant(SCALES[name], tf.float32)).numpy()
    expected = make_likelihood(name, SCALES[name]).log_prob(x, logits)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.parametrize("name", LOG_PROBS)
def test_gradients_are_those_of_finite_differences(arrays, name):
    x, logits = (tf.constant(a, tf.float64) for a in arrays[3:])
    scale = tf.constant(SCALES[name], tf.float64)

    def value(logits, scale):
        return tf.reduce_sum(LOG_PROBS[name](x, logits, scale))

    with tf.GradientTape() as tape:
        tape.watch([logits, scale])
        total = value(logits, scale)
    by_logits, by_scale = tape.gradient(total, [logits, scale])
    rng = np.random.default_rng(2)
    for _ in range(3):
        way = tf.constant(rng.normal(size=logits.shape))
        slope = (value(logits + 1e-6 * way, scale) - value(logits - 1e-6 * way, scale)) / 2e-6
        assert float(tf.reduce_sum(way * by_logits)) == pytest.approx(float(slope), rel=1e-5)
    for i in range(len(SCALES[name])):
        way = tf.one_hot(i, len(SCALES[name]), dtype=tf.float64)
        slope = (value(logits, scale + 1e-7 * way) - value(logits, scale - 1e-7 * way)) / 2e-7
        assert float(by_scale[i]) == pytest.approx(float(slope), rel=1e-4)


def test_gradients_stay_finite_far_from_the_mean():
    x = tf.reshape(tf.constant([0.0, 1.0, 0.5, 1.0]), (4, 1, 1, 1))
    logits = tf.Variable(tf.reshape([40.0, -40.0, 40.0, 0.0], (4, 1, 1, 1)))
    scale = tf.Variable([0.002])
    for log_prob in LOG_PROBS.values():
        with tf.GradientTape() as tape:
            total = log_prob(x, logits, scale)
        for gradient in tape.gradient(total, [logits, scale]):
            assert gradient is None or np.isfinite(gradient.numpy()).all()
