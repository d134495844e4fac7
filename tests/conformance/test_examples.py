"""The examples in the docstrings of what is public run."""

import doctest
import importlib

import pytest

MODULES = (
    *("mixing", "losses", "hypergradient", "core.schedules", "core.intervals", "core.label_trust"),
    "core.ranking",
    *("models", "methods", "policies", "data.sources"),
    *("training.trainer", "training.keras_model"),
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(f"tf_metamixup.{name}"))
    assert result.attempted and not result.failed
