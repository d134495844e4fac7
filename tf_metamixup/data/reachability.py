"""Whether the host of a download answers."""

import http.client
import ssl
import threading
import urllib.error
import urllib.request

TIMEOUT = 10.0  # seconds that it may take to answer


def unreachable(url: str) -> str | None:
    """Says why `url` cannot be fetched within `TIMEOUT` seconds; None if it can."""
    problem = f"no answer from {url} in {TIMEOUT:.0f} s"

    def ask():
        nonlocal problem
        # Not HEAD, which some servers refuse; the body is never read. Nor urllib's own name.
        request = urllib.request.Request(url, headers={"User-Agent": "tf_metamixup"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT / 2):
                problem = None
        except urllib.error.HTTPError as error:
            problem = f"{url} answers {error.code}"
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", error)
            # It answers. Who downloads checks the certificate, by a list of authorities that may
            # be longer than this system's.
            if isinstance(cause, ssl.SSLCertVerificationError):
                problem = None
            else:
                problem = f"{url} cannot be reached ({cause})"

    # In a thread, since looking up a name obeys no time limit of ours.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    return problem
