"""A body as those of `keras.applications`, small enough for tests, beside its preprocessing."""

import keras
import pytest

LEAST = 8


def preprocess_input(x, data_format=None):
    """As VGG's: other channels first, about zero."""
    assert data_format == "channels_last"
    return x[..., ::-1] - 100.0


def TinyBody(include_top=True, weights="imagenet", input_shape=None):  # noqa: N802
    """Convolution, BatchNorm and dropout."""
    assert not include_top
    if min(input_shape[:2]) < LEAST:
        raise ValueError(f"Input size must be at least {LEAST}x{LEAST}; Received: {input_shape}")
    if weights == "imagenet":
        url = "https://weights.example/tiny/tiny_no_top.h5"
        raise Exception(f"URL fetch failure on {url}: None -- no such host")  # as Keras does
    image = keras.Input(input_shape)
    x = keras.layers.Rescaling(0.01)(image)
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same", name="conv")(x)
    x = keras.layers.BatchNormalization(momentum=0.5, name="bn")(x)
    x = keras.layers.Activation("relu")(x)
    return keras.Model(image, keras.layers.Dropout(0.5)(x), name="tiny_body")


@pytest.fixture(autouse=True)
def tiny_application(monkeypatch):
    """Makes it one of them."""
    monkeypatch.setattr(keras.applications, "TinyBody", TinyBody, raising=False)
