"""Pairs from elsewhere, in each of the forms that people give them."""

import keras
import numpy as np
import pytest
from keras import layers

from cvae_edge.architectures.foreign import recognize
from cvae_edge.errors import ConfigError

SHAPE, LATENTS = (6, 10, 2), 3


def body():
    x = keras.Input(SHAPE)
    h = layers.Flatten()(layers.Conv2D(4, 3, 2, "same", activation="relu")(x))
    return x, h, layers.Dense(LATENTS)(h), layers.Dense(LATENTS)(h)


@keras.saving.register_keras_serializable("tests")
class Sampling(layers.Layer):
    def call(self, inputs):
        mean, logvar = inputs
        return mean + keras.ops.exp(logvar / 2) * keras.random.normal(keras.ops.shape(mean))


def apart():
    x, _, mean, spread = body()
    return keras.Model(x, [mean, spread]), mean, spread


def named():
    x, _, mean, spread = body()
    return keras.Model(x, {"z_log_var": spread, "z_mean": mean}), mean, spread


def sampled():
    x, _, mean, spread = body()
    return keras.Model(x, [mean, spread, Sampling()([mean, spread])]), mean, spread


def joined():
    x, h, _, _ = body()
    both = layers.Dense(2 * LATENTS)(h)
    return keras.Model(x, both), both[:, :LATENTS], both[:, LATENTS:]


def sequential():
    model = keras.Sequential(
        [keras.Input(SHAPE), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2 * LATENTS)]
    )
    return model, model.outputs[0][:, :LATENTS], model.outputs[0][:, LATENTS:]


def decoder(last=None, shape=SHAPE, latents=LATENTS, end=None):
    z = keras.Input((latents,))
    h = layers.Reshape((3, 5, 4))(layers.Dense(60, activation="relu")(z))
    h = layers.Conv2DTranspose(shape[2], 4, 2, "same", activation=last)(h)
    return keras.Model(z, end(h) if end else h)


def values(n=4):
    rng = np.random.default_rng(0)
    return rng.uniform(size=(n, *SHAPE)).astype("f"), rng.normal(size=(n, LATENTS)).astype("f")


@pytest.mark.parametrize("form", [apart, named, sampled, joined, sequential])
def test_an_encoder_is_recognized_in_every_form(form):
    encoder, mean, spread = form()
    vae = recognize(encoder, decoder())
    x, _ = values()
    wanted = keras.Model(encoder.inputs, [mean, spread])(x)
    got = vae.encoder(x)
    np.testing.assert_allclose(got["mean"], wanted[0], atol=1e-6)
    np.testing.assert_allclose(got["logvar"], wanted[1], atol=1e-6)
    assert not any(isinstance(layer, Sampling) for layer in vae.encoder.layers)
    assert (vae.image_shape, vae.latent_dim) == (SHAPE, LATENTS)


@pytest.mark.parametrize("log_std", [False, True])
def test_an_output_named_log_std_needs_no_option_and_may_have_it(log_std):
    x, _, mean, spread = body()
    encoder = keras.Model(x, {"mu": mean, "log_std": spread})
    vae = recognize(encoder, decoder(), log_std=log_std)
    images, _ = values()
    wanted = 2 * np.asarray(keras.Model(x, spread)(images))
    np.testing.assert_allclose(vae.encoder(images)["logvar"], wanted, atol=1e-6)


def test_a_log_standard_deviation_is_half_a_log_variance():
    encoder, _, spread = apart()
    x, _ = values()
    wanted = 2 * np.asarray(keras.Model(encoder.inputs, spread)(x))
    got = recognize(encoder, decoder(), log_std=True).encoder(x)["logvar"]
    np.testing.assert_allclose(got, wanted, atol=1e-6)


def nested(last):
    inner = decoder(last)
    z = keras.Input((LATENTS,))
    return keras.Model(z, inner(z))


@pytest.mark.parametrize(
    "make",
    [
        lambda: decoder("sigmoid"),
        lambda: decoder(end=layers.Activation("sigmoid")),
        lambda: decoder(end=keras.ops.sigmoid),
        lambda: nested("sigmoid"),
        lambda: decoder("sigmoid", end=layers.Reshape(SHAPE)),
        lambda: decoder("sigmoid", shape=(6, 10, 2), end=layers.Cropping2D(0)),
    ],
    ids=["activation", "layer", "operation", "nested", "reshaped", "cropped"],
)
def test_a_last_sigmoid_is_taken_off(make):
    model = make()
    _, z = values()
    logits = np.asarray(recognize(apart()[0], model).decoder(z)["x_logits"])
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), np.asarray(model(z)), atol=1e-6)
    assert logits.min() < 0


@pytest.mark.parametrize("make", [decoder, lambda: nested(None)], ids=["plain", "nested"])
def test_logits_stay_logits_and_linear_pixels_become_logits(make):
    model = make()
    _, z = values()
    raw = np.asarray(model(z))
    np.testing.assert_array_equal(recognize(apart()[0], model).decoder(z)["x_logits"], raw)
    pixels = recognize(apart()[0], model, linear_pixels=True).decoder(z)["x_logits"]
    got = 1 / (1 + np.exp(-np.asarray(pixels, np.float64)))
    np.testing.assert_allclose(got, np.clip(raw, 1e-4, 1 - 1e-4), atol=1e-5)


def two_inputs():
    a, b = keras.Input(SHAPE), keras.Input(SHAPE)
    h = layers.Flatten()(layers.Add()([a, b]))
    return keras.Model([a, b], [layers.Dense(LATENTS)(h), layers.Dense(LATENTS)(h)])


def recurrent():
    z = keras.Input((LATENTS,))
    h = layers.LSTM(60)(layers.Reshape((LATENTS, 1))(z))
    return keras.Model(z, layers.Reshape(SHAPE)(layers.Dense(120)(h)))


@pytest.mark.parametrize(
    ("encoder", "make", "message"),
    [
        (lambda: apart()[0], lambda: decoder("tanh"), "end in logits or in a sigmoid, got tanh"),
        (lambda: apart()[0], lambda: decoder("relu"), "end in logits or in a sigmoid, got relu"),
        (lambda: apart()[0], lambda: nested("softmax"), "or in a sigmoid, got softmax"),
        (lambda: apart()[0], lambda: decoder(end=layers.LeakyReLU()), "sigmoid, got leakyrelu"),
        (lambda: apart()[0], lambda: decoder(end=keras.ops.softplus), "sigmoid, got softplus"),
        (lambda: apart()[0], lambda: decoder(shape=(6, 10, 3)), r"shape .6, 10, 2., got .6, 10, 3"),
        (lambda: apart()[0], lambda: decoder(latents=5), "of the decoder's 5 latents"),
        (two_inputs, decoder, "the encoder must have one input, got 2"),
        (lambda: apart()[0], recurrent, "cannot be exported, got lstm.* .LSTM. in the decoder"),
        (lambda: "encoder.keras", decoder, "the encoder must be a Keras model, got str"),
    ],
)
def test_what_is_no_pair_is_named(encoder, make, message):
    with pytest.raises(ConfigError, match=message):
        recognize(encoder(), make())
