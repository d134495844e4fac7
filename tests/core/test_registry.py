import dataclasses

import pytest

from tf_metamixup.core.errors import UserError
from tf_metamixup.core.registry import Registry

THINGS = Registry("thing", aliases={"bare": "'plain' without more"})


@THINGS.register("plain")
@dataclasses.dataclass(frozen=True)
class Plain:
    size: float = 1.0
    fast: bool = False
    name: str = "a"
    depth: int | None = None


@THINGS.register("built")
def built(context, width: int = 3):
    return context, width


def test_a_name_alone_takes_the_defaults():
    assert THINGS.make("plain") == Plain()


def test_the_first_option_needs_no_name():
    assert THINGS.make("plain(2)") == Plain(size=2.0)


def test_options_by_name():
    assert THINGS.make("plain(fast=True, name='b', depth=4)") == Plain(fast=True, name="b", depth=4)


def test_context_goes_before_the_options():
    assert THINGS.make("built(4)", "shape") == ("shape", 4)


@pytest.mark.parametrize("text", ["plain(size=1)", "plain()", " plain ", "plain(1.0, fast=False)"])
def test_equal_things_have_one_spelling(text):
    assert str(THINGS.parse(text)) == "plain"


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("plane", "(did you mean 'plain'?); known: built, plain"),
        ("Plain", "unknown thing 'Plain' (did you mean 'plain'?)"),
        ("bare(2)", "unknown thing 'bare' (did you mean 'plain' without more?)"),
        ("Pla-In(2)", "(did you mean 'plain'?); write name or name(option=value, ...)"),
        ("something", "unknown thing 'something'; known"),
        ("plain(sise=1)", "no option 'sise' (did you mean 'size'?)"),
        ("plain(name=b)", "write 'b', not b"),
        ("plain(fast=true)", "write True, not true"),
        ("plain(sice=1)", "size=1.0, fast=False"),
        ("plain(1, 2)", "option=value"),
        ("plain(1, size=2)", "twice"),
        ("plain(fast=1)", "must be bool"),
        ("plain(size=True)", "finite float"),
        ("plain(size=1e999)", "finite float"),
        ("plain(depth=1.5)", "must be int or"),
        ("plain(", "cannot read"),
        ("", "cannot read"),
        ("plain(size=__import__('os'))", "cannot read"),
        ("plain.size", "cannot read"),
        ("plain(**{})", "cannot read"),
        ("plain(size=1, size=2)", "cannot read"),
        ("(" * 5000, "cannot read"),
    ],
)
def test_mistakes_are_reported_with_what_is_known(text, reported):
    with pytest.raises(UserError, match="thing") as error:
        THINGS.parse(text)
    assert reported in str(error.value)


def unknown(share: "NoSuchType" = 0.5, width=3, depth: "int | None" = None):  # noqa: F821
    return share, width, depth


def known(share: "float" = 0.5, width=3, depth: "int | None" = None):
    return share, width, depth


@pytest.mark.parametrize("maker", [known, unknown])
def test_annotations_may_be_text_or_absent(maker):
    things = Registry("thing")
    things.register("texts")(maker)
    assert things.make("texts(0.25, width=4)") == (0.25, 4, None)
    with pytest.raises(UserError, match="option width='a' must be int"):
        things.make("texts(width='a')")
    assert things.make("texts(depth=2)") == (0.5, 3, 2)


def test_a_name_that_nobody_could_write_is_refused():
    with pytest.raises(RuntimeError, match="'bad-name': a name is letters, digits and _"):
        Registry("thing").register("bad-name")(known)


def test_a_name_is_registered_once():
    with pytest.raises(RuntimeError, match="twice"):
        THINGS.register("plain")(built)


def test_a_cell_of_a_notebook_can_be_run_again():
    def cell(value):
        @shades.register("grey")
        def grey() -> int:
            return value

    shades = Registry("shade")
    cell(1)
    cell(2)
    assert shades.make("grey") == 2
