import numpy as np
import pytest
from scipy import integrate, stats

from cvae_edge import elbo
from cvae_edge.codec import Codec
from cvae_edge.errors import ConfigError
from cvae_edge.evidence import Evidence
from cvae_edge.likelihoods import Bernoulli, make_likelihood
from cvae_edge.noise import standard_normal
from cvae_edge.preprocess import Pixels


@pytest.fixture
def draws():
    rng = np.random.default_rng(0)
    mean, logvar, eps = rng.normal(size=(3, 5, 4)).astype(np.float32)
    return mean, logvar, eps, elbo.reparameterize(mean, logvar, eps)


def test_reparameterize_scales_by_the_standard_deviation(draws):
    mean, logvar, eps, z = draws
    np.testing.assert_allclose(z, mean + np.sqrt(np.exp(logvar)) * eps, rtol=1e-6)


def test_kl_sample_is_scipys_log_q_minus_log_p(draws):
    mean, logvar, eps, z = draws
    log_q = stats.norm.logpdf(z, mean, np.exp(logvar / 2)).sum(1)
    log_p = stats.norm.logpdf(z).sum(1)
    np.testing.assert_allclose(elbo.kl_sample(z, logvar, eps), log_q - log_p, rtol=1e-4, atol=1e-5)


def test_kl_analytic_is_the_integral_of_its_definition():
    mean, logvar = 0.7, -0.9
    q = stats.norm(mean, np.exp(logvar / 2))
    expected, _ = integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z)), -9, 9)
    got = elbo.kl_analytic(np.full((1, 3), mean, np.float32), np.full((1, 3), logvar, np.float32))
    np.testing.assert_allclose(got, [3 * expected], rtol=1e-5)


def test_kl_sample_has_kl_analytic_as_its_mean():
    rng = np.random.default_rng(2)
    mean, logvar = rng.normal(size=(2, 1, 4)).astype(np.float32).repeat(100_000, axis=1)
    eps = rng.normal(size=mean.shape).astype(np.float32)
    samples = elbo.kl_sample(elbo.reparameterize(mean, logvar, eps), logvar, eps)
    standard_error = samples.std() / np.sqrt(len(samples))
    assert abs(samples.mean() - elbo.kl_analytic(mean, logvar)[0]) < 4 * standard_error


class LineCodec(Codec):
    """One latent: logits are a line in it. Its marginal likelihood is an integral over z."""

    def encode(self, x):
        score = x.reshape(len(x), -1).mean(axis=1, keepdims=True)
        return score - np.float32(0.5), np.full_like(score, -0.5)

    def decode(self, z):
        slopes = np.array([1.0, -2.0, 0.5, 1.5], np.float32)
        return (z * slopes + np.float32(0.2)).reshape(-1, 2, 2, 1)

    def log_marginal(self, x):
        def density(z):
            logits = self.decode(np.array([[z]], np.float32))
            return np.exp(Bernoulli().log_prob(x, logits)[0]) * stats.norm.pdf(z)

        return np.log(integrate.quad(density, -8, 8)[0])


@pytest.fixture
def images():
    return np.random.default_rng(3).integers(0, 2, (7, 2, 2, 1)).astype(np.float32)


def test_iwae_approaches_the_marginal_likelihood_and_elbo_stays_below(images):
    codec = LineCodec()
    bounds = elbo.image_bounds(codec, images, Bernoulli(), samples=4000)
    exact = [codec.log_marginal(image[np.newaxis]) for image in images]
    np.testing.assert_allclose(bounds["iwae"], exact, atol=0.02)
    assert (bounds["elbo"] < bounds["iwae"]).all()


def learned_prior(z):
    """The density of N(0.5, 2^2), as a graph of its role."""
    return {"eps": (z - np.float32(0.5)) / 2, "log_det": np.full_like(z, -np.log(2))}


@pytest.mark.parametrize(
    ("codec", "prior"),
    [(LineCodec(), stats.norm()), (LineCodec(density=learned_prior), stats.norm(0.5, 2))],
)
def test_bounds_are_the_formulas_written_out_over_the_draws(images, codec, prior):
    samples = 3
    bounds = elbo.image_bounds(codec, images, Bernoulli(), samples, seed=4, with_error=True)
    mean, logvar = (v.astype(np.float64) for v in codec.encode(images))
    deviation = np.exp(logvar / 2)
    log_px, log_weights, errors, gains = [], [], [], []
    for sample in range(samples):
        z = mean + deviation * standard_normal(7, 1, 4, 0, sample)
        p = 1 / (1 + np.exp(-codec.decode(z.astype(np.float32)).astype(np.float64)))
        log_px.append(np.log(np.where(images == 1, p, 1 - p)).sum(axis=(1, 2, 3)))
        log_ratio = prior.logpdf(z) - stats.norm.logpdf(z, mean, deviation)
        log_weights.append(log_px[-1] + log_ratio[:, 0])
        errors.append(np.square(images - p).mean(axis=(1, 2, 3)))
        gains.append((prior.logpdf(z) - stats.norm.logpdf(z))[:, 0])
    kl = 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar)[:, 0]
    expected = {
        "elbo": np.mean(log_weights, axis=0),
        "iwae": np.log(np.mean(np.exp(log_weights), axis=0)),
        "reconstruction": np.mean(log_px, axis=0),
        "kl": kl - np.mean(gains, axis=0),
        "squared_error": np.mean(errors, axis=0),
    }
    if codec.density is not None:
        expected["prior_gain"] = np.mean(gains, axis=0)
    assert bounds.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(bounds[name], values, atol=1e-5, err_msg=name)


def test_one_sample_makes_elbo_and_iwae_equal(images):
    bounds = elbo.image_bounds(LineCodec(), images, Bernoulli(), samples=1)
    assert bounds.keys() == {"elbo", "iwae", "reconstruction", "kl"}
    np.testing.assert_array_equal(bounds["elbo"], bounds["iwae"])


def test_without_a_start_every_image_has_the_noise_of_image_0(images):
    repeated = images[[2, 2, 2]]
    own = elbo.image_bounds(LineCodec(), repeated, Bernoulli(), samples=2, seed=5)
    alone = elbo.image_bounds(LineCodec(), repeated[:1], Bernoulli(), samples=2, seed=5)
    shared = elbo.image_bounds(LineCodec(), repeated, Bernoulli(), samples=2, seed=5, start=None)
    assert len(set(own["iwae"])) == 3
    np.testing.assert_array_equal(shared["iwae"], np.repeat(alone["iwae"], 3))


def test_the_elbo_at_the_mean_is_the_formula_written_out(images):
    codec = LineCodec()
    bounds = Evidence(codec, images, Bernoulli()).bounds(with_error=True)
    for i, image in enumerate(images):
        mean, logvar = (float(v[0, 0]) for v in codec.encode(image[np.newaxis]))
        p = 1 / (1 + np.exp(-codec.decode(np.array([[mean]], np.float32))[0].astype(np.float64)))
        log_px = np.log(np.where(image == 1, p, 1 - p)).sum()
        kl = 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar)
        assert bounds["elbo_at_mean"][i] == pytest.approx(log_px - kl, abs=1e-5)
        assert bounds["squared_error"][i] == pytest.approx(np.square(image - p).mean(), abs=1e-6)


def test_evaluate_gives_the_same_for_every_batch_size(images):
    results = [
        elbo.evaluate(LineCodec(), images, "threshold", Bernoulli(), samples=3, batch_size=size)
        for size in (1, 3, 7)
    ]
    for result in results[1:]:
        np.testing.assert_allclose(result.elbo, results[0].elbo, rtol=1e-6)
        np.testing.assert_allclose(result.iwae, results[0].iwae, rtol=1e-6)


@pytest.mark.parametrize(("pixels", "expected"), [(3, [1, 2, 3, 4, 5, 6, 7]), (8, [2, 4, 6, 7])])
def test_large_images_are_evaluated_a_few_at_a_time(images, monkeypatch, pixels, expected):
    monkeypatch.setattr(elbo, "_BATCH_PIXELS", pixels)  # images have 4
    done = []
    elbo.evaluate(
        LineCodec(), images, "threshold", Bernoulli(), on_batch=lambda *seen: done.append(seen)
    )
    assert done == [(n, 7) for n in expected]


def test_evaluate_states_the_standard_error_of_the_mean(images):
    bounds = elbo.image_bounds(LineCodec(), images, Bernoulli(), samples=2)
    result = elbo.evaluate(LineCodec(), images, "threshold", Bernoulli(), samples=2)
    assert result.elbo == pytest.approx(bounds["elbo"].mean())
    assert result.elbo_standard_error == pytest.approx(bounds["elbo"].std() / np.sqrt(7))
    assert result.iwae == pytest.approx(bounds["iwae"].mean())
    assert result.iwae_standard_error == pytest.approx(bounds["iwae"].std() / np.sqrt(7))
    assert result.iwae_standard_error != pytest.approx(result.elbo_standard_error, rel=1e-3)


def test_evaluate_refuses_no_images_and_no_samples(images):
    with pytest.raises(ConfigError, match="samples must be at least 1, got 0"):
        elbo.evaluate(LineCodec(), images, "none", Bernoulli(), samples=0)
    with pytest.raises(ConfigError, match="must be images"):
        elbo.evaluate(LineCodec(), images[:0], "none", Bernoulli())


def test_pixels_drawn_by_chance_do_not_depend_on_the_batch_size():
    grey = np.random.default_rng(4).uniform(size=(7, 2, 2, 1)).astype(np.float32)
    results = [
        elbo.evaluate(LineCodec(), grey, "draw", Bernoulli(), batch_size=size).reconstruction
        for size in (1, 3, 7)
    ]
    np.testing.assert_allclose(results, results[0], rtol=1e-6)


def test_grey_images_get_a_psnr_of_the_reconstructions_that_were_drawn(images):
    grey = np.random.default_rng(5).uniform(size=(7, 2, 2, 1)).astype(np.float32)
    result = elbo.evaluate(LineCodec(), grey, "none", make_likelihood("gaussian", [0.3]), samples=2)
    bounds = elbo.image_bounds(
        LineCodec(), grey, make_likelihood("gaussian", [0.3]), 2, with_error=True
    )
    assert result.psnr == pytest.approx(-10 * np.log10(bounds["squared_error"].mean()))
    assert elbo.evaluate(LineCodec(), images, "threshold", Bernoulli()).psnr is None


def test_bits_per_dimension_are_given_where_pixels_have_256_levels(images):
    likelihood = make_likelihood("logistic", [0.2])
    result = elbo.evaluate(LineCodec(), images, "none", likelihood)
    assert result.bits_per_dim == pytest.approx(-result.elbo / (4 * np.log(2)))
    assert elbo.evaluate(LineCodec(), images, "none", Bernoulli()).bits_per_dim is None


@pytest.mark.parametrize(
    ("value", "budget"), [(-80.0, 0.5), (2500.0, 0.5), (-2500.1, 0.50002), (1e5, 20.0)]
)
def test_a_file_may_lose_half_a_nat_or_a_share_of_a_large_elbo(value, budget):
    pixels = Pixels((64, 64, 3), binarize="threshold")
    assert elbo.loss_budget(value, pixels) == pytest.approx(budget)


def test_a_file_may_lose_some_bits_of_each_grey_or_colour_value_whatever_the_density():
    small, large = Pixels((8, 8, 1)), Pixels((64, 64, 3))
    assert elbo.loss_budget(0.0, small) == 0.5
    assert elbo.loss_budget(0.0, large) == pytest.approx(0.003 * 64 * 64 * 3 * np.log(2))
    assert elbo.loss_budget(-1e6, large) == pytest.approx(200.0)
