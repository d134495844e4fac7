import keras
import pytest

from tf_metamixup.models import make
from tf_metamixup.models.layers import is_normalized


@pytest.mark.parametrize(
    ("spec", "normalized"),
    [
        ("cnn3(width=2)", False),
        ("cnn3(width=2, features=2)", False),
        ("cnn3(width=2, batch_norm=True)", True),
        ("wrn(depth=10, width=1)", True),
        ("preact_resnet(depth=18)", True),
    ],
)
def test_a_network_with_batch_norm_is_normalized(spec, normalized):
    assert is_normalized(make(spec, (8, 8, 1), 3)) is normalized


def test_a_normalization_layer_counts_within_another_model():
    body = keras.Sequential([keras.Input([4]), keras.layers.LayerNormalization()])
    assert is_normalized(keras.Sequential([keras.Input([4]), body, keras.layers.Dense(3)]))
