"""TensorBoard as people see it: its pages in a real browser, with what two runs wrote."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

pytestmark = pytest.mark.slow

SECONDS = 40  # for a page to show what it should; two or three are usual
PICTURES = ("lambda/by_class_pair", "lambda/mixed_rows")
PICTURES += ("evaluation/confusion", "evaluation/reliability")
POLICIES = ("beta", "meta")
# Pages are made of components that hide their content from a search of the document.
TEXT = """
const parts = [];
const walk = node => {
  if (/^(STYLE|SCRIPT|TEMPLATE)$/.test(node.nodeName)) return;
  if (node.nodeType === Node.TEXT_NODE) parts.push(node.textContent.trim());
  if (node.shadowRoot) walk(node.shadowRoot);
  node.childNodes.forEach(walk);
};
walk(document.body);
return parts.filter(part => part);
"""
COUNT = """
let count = 0;
const walk = root => root.querySelectorAll("*").forEach(each => {
  if (each.matches(arguments[0])) count += each.nodeName == "IMG" ? each.naturalWidth > 100
                                                                   : !!each.getAttribute("d");
  if (each.shadowRoot) walk(each.shadowRoot);
});
walk(document);
return count;
"""


@pytest.fixture(scope="module")
def results(finished_pair):
    """What the MixUp and the MetaMixUp run wrote, by policy."""
    return {
        policy: json.loads((finished_pair / policy / "result.json").read_text())
        for policy in POLICIES
    }


@pytest.fixture(scope="module")
def board(finished_pair, tmp_path_factory):
    """Where a TensorBoard shows both runs."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={finished_pair}"]
    command += [f"--port={port}", "--load_fast=false"]
    log = tmp_path_factory.mktemp("board") / "log"
    with open(log, "w") as written:
        process = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT)
    address = f"http://localhost:{port}"
    try:
        _wait_for_runs(process, address, log)
        yield address
    finally:
        process.terminate()
        process.wait()


def _wait_for_runs(process, address, log):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            with direct.open(f"{address}/data/runs", timeout=5) as answer:
                if len(json.load(answer)) == len(POLICIES):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    pytest.fail(f"TensorBoard did not start:\n{log.read_text()}")


@pytest.fixture
def shows(browser, board, tmp_path):
    """Opens a page and waits until its text has all of some lines, and so many pictures.

    Screenshots go into $TENSORBOARD_SCREENSHOTS, if that is set.
    """
    folder = pathlib.Path(os.environ.get("TENSORBOARD_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def shows(page, lines, selector=None, least=0):
        browser.get("about:blank")
        browser.get(f"{board}/?darkMode=false#{page}")
        until = time.monotonic() + SECONDS
        while True:
            text = browser.execute_script(TEXT)
            count = browser.execute_script(COUNT, selector) if selector else 0
            missing = set(lines) - set(text)
            if not missing and count >= least:
                break
            if time.monotonic() > until:
                browser.save_screenshot(str(folder / f"{page}-failed.png"))
                pytest.fail(f"{page}: {missing} is missing, {count} of {least} drawn; see {folder}")
            time.sleep(0.2)
        time.sleep(0.5)  # for what is still moving on the picture
        browser.save_screenshot(str(folder / f"{page}.png"))
        return text

    return shows


def both(*tags):
    return {f"{tag} ({policy}/tensorboard)" for tag in tags for policy in POLICIES}


def test_the_first_page_begins_with_the_test_errors(shows, results):
    scores = {
        f"{result[name]:.4f}".rstrip("0").rstrip(".")
        for result in results.values()
        for name in ("test_error", "test_ece")
    }
    text = shows("timeseries", {"/test", "/test_ece", *scores, "lambda", "losses"})
    sections = [text.index(name) for name in ("error", "evaluation", "lambda", "losses")]
    assert sections == sorted(sections)


def test_the_layout_shows_error_loss_calibration_and_lambda(shows):
    tags = both("error/test", "error/test_ece", "losses/train", "losses/test", "lambda/mean")
    tags |= both("lambda/move_p99", "monitors/learning_rate", "monitors/images_per_second")
    tags.add("lambda/meta_gradient_cosine (meta/tensorboard)")
    shows("custom_scalars", tags, "path.line", least=len(tags))


def test_the_pictures_of_both_runs_are_there(shows):
    text = shows("images", PICTURES, "img", least=2 * len(PICTURES))
    assert {"beta/tensorboard", "meta/tensorboard"} <= set(text)


def test_the_histograms_of_lambda_are_there(shows, results):
    tags = ("lambda/before", "lambda/after", "lambda/move")
    steps = sum(result["steps"] for result in results.values())
    shows("histograms", tags, "g.histogram path.outline", least=len(tags) * steps)


def test_hparams_compare_the_runs(shows, results):
    policies = {result["policy"] for result in results.values()}
    scores = {
        f"{result[name]:#.5g}" for result in results.values() for name in ("test_error", "test_ece")
    }
    shows("hparams", {"test error, %", "calibration error, %", *policies, *scores})


def test_the_settings_are_there(shows):
    shows("text", {"configuration"})
