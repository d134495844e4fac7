import math

import pytest


@pytest.fixture
def trainable_parameters():
    """Counts what an optimizer would change, without BatchNorm's moving statistics."""

    def count(model):
        return sum(math.prod(variable.shape) for variable in model.trainable_variables)

    return count
