import json
import subprocess
import sys

import pytest

from tf_metamixup.benchmark import replicas

SMALL = ["--architecture=cnn3(width=2)", "--batch_size=8", "--rounds=3"]


@pytest.mark.slow
def test_a_line_tells_what_two_replicas_cost():
    done = subprocess.run(
        [sys.executable, "-m", "tf_metamixup.benchmark.replicas", *SMALL, "--replicas=2"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["replicas"], told["batch_size"]) == (2, 8)
    assert set(told["milliseconds"]) == {"plain", "meta", "sum_of_weights"}
    assert told["milliseconds"]["meta"] > told["milliseconds"]["plain"] > 0
    assert all(mib > 0 for mib in told["peak_mib"].values())


@pytest.mark.parametrize("flag", ["--rounds=2", "--epochs=3", "--batch_size=9"])
def test_a_bad_flag_is_told_in_one_message(flag, capsys):
    assert replicas.main(["scale", *SMALL, "--replicas=2", flag]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 2
