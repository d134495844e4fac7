import pytest

from tf_metamixup.core.suggestions import did_you_mean, suggest

NAMES = ("preact_resnet18", "resnet50", "wrn", "wrn_28_10")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("WRN-28-10", "'wrn_28_10'"),  # the same letters and digits
        ("elsewhere", "'resnet50' in another guise"),  # an alias
        ("resnet18", "'preact_resnet18'"),  # a part of a name goes before a name that is near
        ("restnet50", "'resnet50'"),
        ("my wrn", "'wrn'"),
        ("transformer", None),
        ("--", None),
        ("", None),
    ],
)
def test_what_is_nearest_is_found(text, found):
    assert suggest(text, NAMES, {"elsewhere": "'resnet50' in another guise"}) == found


def test_nothing_is_said_where_nothing_is_near():
    assert did_you_mean("transformer", NAMES) == ""
    assert did_you_mean("RESNET50", NAMES) == " (did you mean 'resnet50'?)"
