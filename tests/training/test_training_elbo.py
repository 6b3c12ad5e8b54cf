import numpy as np
import pytest

from cvae_edge import elbo as numpy_elbo
from cvae_edge.training import elbo


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    mean, logvar, eps = rng.normal(size=(3, 6, 5)).astype(np.float32)
    x = rng.integers(0, 2, (6, 4, 4, 3)).astype(np.float32)
    logits = rng.normal(0, 4, x.shape).astype(np.float32)
    return mean, logvar, eps, x, logits


def test_tensorflow_and_numpy_have_one_formula(arrays):
    mean, logvar, eps, x, logits = arrays
    z = numpy_elbo.reparameterize(mean, logvar, eps)
    for name, arguments in {
        "reparameterize": (mean, logvar, eps),
        "log_bernoulli": (x, logits),
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
