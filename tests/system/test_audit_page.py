"""The page of suspicious labels as people see it: in a real browser."""

import numpy as np
import pytest

from tf_metamixup.report import audit, audit_page

pytestmark = pytest.mark.slow


def test_every_picture_is_shown_names_are_text_and_nothing_is_fetched(browser, tmp_path):
    generator = np.random.default_rng(0)
    judged = audit.Judged(
        names=[f"<img src=x onerror=alert({n})>.png" for n in range(40)],
        images=generator.integers(0, 256, (40, 20, 28, 3), np.uint8),
        classes=["<b>cat</b>", "dog & co"],
        given=np.arange(40) % 2,
        right=generator.random(40),
        suggested=1 - np.arange(40) % 2,
        how="by method audit",
    )
    page = tmp_path / "labels.html"
    page.write_text(audit_page.page(judged, judged.scores()))
    browser.get(page.as_uri())
    sizes = browser.execute_script(
        "return [...document.images].map(each => [each.naturalWidth, each.naturalHeight])"
    )
    assert sizes == [[28, 20]] * 2 * audit_page.PER_CLASS
    headings = [each.text for each in browser.find_elements("css selector", "h2")]
    assert "<b>cat</b>" in headings[0] and "dog & co" in headings[1]
    captions = browser.find_elements("css selector", "figcaption")
    assert all("onerror=alert" in each.text for each in captions)
    assert [each for each in browser.get_log("browser") if each["level"] == "SEVERE"] == []
