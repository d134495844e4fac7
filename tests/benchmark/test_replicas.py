import json
import subprocess
import sys

import pytest

from benchmark import replicas

SMALL = ["--architecture=cnn3(width=2)", "--batch_size=8", "--rounds=3"]


@pytest.mark.slow
def test_a_line_tells_what_two_replicas_cost():
    done = subprocess.run(
        [sys.executable, replicas.__file__, *SMALL, "--replicas=2"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    reported = json.loads(done.stdout)
    assert (reported["replicas"], reported["batch_size"]) == (2, 8)
    assert set(reported["milliseconds"]) == {"plain", "meta", "sum_of_weights"}
    assert min(reported["milliseconds"].values()) > 0
    # The meta step holds what the virtual step and its second pass leave behind.
    assert reported["peak_mib"]["meta"] > reported["peak_mib"]["plain"] > 0


@pytest.mark.parametrize("flag", ["--rounds=2", "--epochs=3", "--batch_size=9"])
def test_a_bad_flag_is_reported_in_one_message(flag, capsys):
    assert replicas.main(["scale", *SMALL, "--replicas=2", flag]) == 2
    reported = capsys.readouterr().err
    assert reported.startswith("error: ") and reported.count("\n") == 2
