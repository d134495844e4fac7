import http.server
import ssl
import threading
import time
import urllib.error
import urllib.request

import pytest

from tf_metamixup.data import reachability


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        code = int(self.path.strip("/"))
        if code == 0:
            time.sleep(2)
        self.send_response(code or 200)
        if code == 302:
            self.send_header("Location", "/200")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def host():
    """The address of a server that answers with the status that is asked for; late for 0."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("status", [200, 302])
def test_what_answers_is_reachable(host, status):
    assert reachability.unreachable(f"{host}/{status}") is None


@pytest.mark.parametrize("status", [404, 503])
def test_an_answer_of_failure_is_reported(host, status):
    assert reachability.unreachable(f"{host}/{status}") == f"{host}/{status} answers {status}"


def test_a_host_that_refuses_is_reported_with_the_reason():
    reported = reachability.unreachable("http://127.0.0.1:9/x")
    assert reported.startswith("http://127.0.0.1:9/x cannot be reached (")
    assert "refused" in reported and "\n" not in reported


def test_a_host_that_does_not_exist_is_reported():
    reported = reachability.unreachable("http://no-such-host.invalid/x")
    assert reported.startswith("http://no-such-host.invalid/x cannot be reached (")


def test_a_host_that_never_answers_is_given_up(host, monkeypatch):
    monkeypatch.setattr(reachability, "TIMEOUT", 0.1)
    start = time.monotonic()
    assert reachability.unreachable(f"{host}/0") is not None
    assert time.monotonic() - start < 1.5


def test_a_lookup_that_never_ends_is_given_up(monkeypatch):
    def lookup(*_, **__):
        time.sleep(2)
        raise urllib.error.URLError("late")

    monkeypatch.setattr(reachability, "TIMEOUT", 0.1)
    monkeypatch.setattr(urllib.request, "urlopen", lookup)
    start = time.monotonic()
    assert reachability.unreachable("http://x/y") == "no answer from http://x/y in 0 s"
    assert time.monotonic() - start < 1.5


def test_a_certificate_that_only_others_know_is_an_answer(monkeypatch):
    def distrust(*_, **__):
        raise urllib.error.URLError(ssl.SSLCertVerificationError("unable to get local issuer"))

    monkeypatch.setattr(urllib.request, "urlopen", distrust)
    assert reachability.unreachable("https://x/y") is None
