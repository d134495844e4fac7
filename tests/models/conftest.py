import math

import keras
import pytest


@pytest.fixture
def trainable_parameters():
    """Counts what an optimizer would change, without BatchNorm's moving statistics."""

    def count(model):
        return sum(math.prod(variable.shape) for variable in model.trainable_variables)

    return count


@pytest.fixture
def global_policy():
    """Sets Keras's global dtype policy for one test."""
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy("float32")
