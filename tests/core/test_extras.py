import sys

import pytest

from tf_metamixup.core import extras
from tf_metamixup.core.errors import UserError


def test_a_missing_module_is_reported_in_one_line_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(UserError) as raised, extras.needed("figures"):
        from scipy import stats  # noqa: F401
    message = str(raised.value)
    remedy = "in the clone of tf_metamixup, pip install '.[figures]'"
    assert message == f"scipy is not installed: {remedy}"


def test_a_module_of_ours_that_is_missing_is_no_extra():
    with pytest.raises(ModuleNotFoundError), extras.needed("data"):
        import tf_metamixup.nosuch  # noqa: F401
