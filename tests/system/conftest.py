import os
import shutil

import pytest


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        problem = "needs chromium and chromedriver (Debian: chromium and chromium-driver)"
        if os.environ.get("REQUIRE_BROWSER_TESTS"):
            pytest.fail(problem)
        pytest.skip(problem)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        *("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-quic"),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
        *("no-first-run", "no-proxy-server", "window-size=1400,1200"),
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{argument}")
    opened = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield opened
    opened.quit()
