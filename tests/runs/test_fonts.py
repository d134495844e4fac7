import warnings

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.font_manager import FontEntry, fontManager

from tf_metamixup.figures import features, style
from tf_metamixup.mixing import Sample
from tf_metamixup.runs import fonts, tensorboard_images

NAMES = ["猫", "犬です", "고양이", "größer", "$x", "bell\x07"]


@pytest.fixture(autouse=True)
def quiet():
    for cached in (fonts._family_with, fonts._characters):
        cached.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    for cached in (fonts._family_with, fonts._characters):
        cached.cache_clear()


def only(monkeypatch, *kept):
    entries = [entry for entry in fontManager.ttflist if entry.name.startswith(kept)]
    monkeypatch.setattr(fontManager, "ttflist", entries)


def test_names_that_no_font_has_are_numbers(monkeypatch):
    only(monkeypatch, "DejaVu", "Last Resort")
    assert fonts.class_names(NAMES) == ["class 0", "class 1", "class 2", "größer", "$x", "class 5"]
    assert fonts.legible("folder:写真, größer\nb") == "folder:??, größer\nb"
    assert fonts.families(["größer\n"]) == ["sans-serif"]


def test_an_installed_font_that_has_the_character_is_taken(monkeypatch):
    """A private-use character that, of what matplotlib ships, one symbol font alone has."""
    code = min(fonts._characters("STIXNonUnicode") - fonts._characters("DejaVu Sans"))
    only(monkeypatch, "DejaVu Sans", "STIXNonUnicode", "Last Resort")
    broken = FontEntry(fname="/nowhere.ttf", name="A broken one")
    monkeypatch.setattr(fontManager, "ttflist", [broken, *fontManager.ttflist])
    assert fonts.class_names([chr(code)]) == [chr(code)]
    assert fonts.families([chr(code)]) == ["sans-serif", "STIXNonUnicode"]
    tensorboard_images.confusion(np.eye(2, dtype=int), [chr(code), "dog"])


def test_every_picture_with_class_names_draws_any_script():
    eye = np.eye(len(NAMES))
    tensorboard_images.confusion(eye.astype(int), NAMES)
    tensorboard_images.class_pairs(eye / 2, eye, NAMES)
    white, rows = np.ones((len(NAMES), 4, 4, 1)), np.ones(len(NAMES), bool)
    sample = Sample(*(white,) * 3, *(eye,) * 2, rows / 2, rows, rows)
    tensorboard_images.mixed_rows(sample, eye, NAMES)
    values = np.random.default_rng(0).normal(size=(len(NAMES), 2))
    panels = {"a": (values, np.arange(len(NAMES)))}
    FigureCanvasAgg(features.draw(panels, NAMES, "folder:写真")).draw()
    FigureCanvasAgg(style.new("folder:写真")).draw()
