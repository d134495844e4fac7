"""Real processes, killed and stopped from outside."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import tensorflow as tf
from PIL import Image

from tests.outcome import outcome, result_of
from tests.survivor import EPOCH_STEPS, PLACES

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS_TO_STOP = 15
# launch/endurance.sh asks for more.
KILLS = int(os.environ.get("KILLS", "3"))


def start(module, *arguments):
    """A process in the checkout, with its output as text."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def survivor(run_dir, *fault):
    return start("tests.survivor", str(run_dir), *fault)


def finish(run_dir, *fault):
    """Runs the rest; the steps after which it reported something, none where all had been taken."""
    with survivor(run_dir, *fault) as process:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return [int(step) for step in out.split()]


def wait_for_step(process, step):
    """Reads on until the run has taken `step` steps."""
    for line in process.stdout:
        if int(line) >= step:
            return int(line)
    raise AssertionError(process.stderr.read())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The outcome of an uninterrupted run, in which pseudo-labels were accepted and rejected."""
    folder = tmp_path_factory.mktemp("whole")
    finish(folder, "export")
    found = outcome(folder)
    assert all(0 < entry["accepted"] < 1 for entry in found[2])
    assert all(entry["lambda_move_mean"] > 0 for entry in found[2])
    return *found, exported(folder)


def exported(folder):
    """(the test error of the first epoch's weights, which are the best; what was exported)."""
    result = result_of(folder)
    assert result["selected"] == {"weights": "best", "epoch": 1}
    weights = tf.train.load_checkpoint(folder / "saved_model" / "variables" / "variables")
    names = sorted(weights.get_variable_to_shape_map())
    values = {n: weights.get_tensor(n).tobytes() for n in names if "OBJECT_GRAPH" not in n}
    return result["test_error"], values


def checkpoints(run_dir):
    return sorted(int(path.name[5:]) for path in (run_dir / "checkpoints").glob("step-*"))


def kill_at_random(run_dir, moment):
    """Starts a run and kills it at a random moment; what happened, for the log."""
    if moment.random() < 0.3:
        place = moment.randrange(PLACES)
        process, wanted = survivor(run_dir, f"writing={place}"), "writing\n"
        reported = f"in writing, place {place} of {PLACES}"
    else:
        process, wanted = survivor(run_dir), None
        lines, seconds = moment.randrange(20), moment.uniform(0, 0.25)
        reported = f"{seconds:.2f} s after {lines} calls"
    with process:
        if wanted:
            reported += "" if wanted in process.stdout else ", which it did not come to"
        else:
            for _ in range(lines):
                process.stdout.readline()
            # Before the first call a run is loading, restoring or building its graph.
            time.sleep(seconds if lines else 40 * seconds)
        process.kill()
    assert process.returncode in (-signal.SIGKILL, 0), process.stderr.read()
    return reported


def test_a_run_killed_at_random_moments_ends_bit_identical(tmp_path, whole):
    seed = int(os.environ.get("KILL_SEED") or time.time())
    moment = random.Random(seed)
    run_dir = tmp_path / "0"
    # One kill in any case comes while a checkpoint is written, the second of a fresh run.
    with survivor(run_dir, f"writing={PLACES + moment.randrange(PLACES - 1)}") as process:
        assert "writing\n" in process.stdout
        process.kill()
    assert [path.name for path in (run_dir / "checkpoints").glob(".*")] == [".draft"]
    print(f"\nKILL_SEED={seed}\nkill 1: in writing the second checkpoint")
    for number in range(2, KILLS + 1):
        reported = kill_at_random(run_dir, moment)
        print(f"kill {number}: {reported}; checkpoints {checkpoints(run_dir)}")
        if (run_dir / "result.json").exists():
            assert outcome(run_dir) == whole[:3]
            run_dir = tmp_path / str(number)
    finish(run_dir)
    weights, lambdas, history = outcome(run_dir)
    assert history == whole[2]
    assert lambdas == whole[1]
    assert weights == whole[0]


def test_a_run_killed_in_its_last_evaluation_takes_no_step_more(tmp_path, whole):
    with survivor(tmp_path, "evaluating=5") as process:
        assert "evaluating\n" in process.stdout
        process.kill()
    assert checkpoints(tmp_path)[-1] == 3 * EPOCH_STEPS
    assert finish(tmp_path) == []
    assert outcome(tmp_path) == whole[:3]


def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(tmp_path, whole):
    with survivor(tmp_path) as process:
        wait_for_step(process, 2 * EPOCH_STEPS + 1)
        process.kill()
    assert checkpoints(tmp_path) == [EPOCH_STEPS, 2 * EPOCH_STEPS]
    data = next((tmp_path / f"checkpoints/step-{2 * EPOCH_STEPS:010d}").glob("variables.data-*"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with survivor(tmp_path) as process:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "is damaged (variables.data-00000-of-00001 has changed); trying the previous one" in err
    assert int(out.split()[0]) == EPOCH_STEPS + 1
    assert outcome(tmp_path) == whole[:3]


def test_a_second_process_a_jumping_clock_and_deleted_logs_leave_a_run_alone(tmp_path, whole):
    """Nor does a run on the CPU change where TensorFlow is asked for deterministic operations."""
    with survivor(tmp_path, "disturbed") as process:
        wait_for_step(process, 1)
        process.send_signal(signal.SIGSTOP)  # or it might end before the second one begins
        with survivor(tmp_path) as second:
            shutil.rmtree(tmp_path / "tensorboard")
            _, err = second.communicate(timeout=300)
        process.send_signal(signal.SIGCONT)
        assert second.returncode != 0
        assert f"run directory {tmp_path} is in use by another process" in err
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert outcome(tmp_path) == whole[:3]


def test_a_run_terminated_in_mid_epoch_saves_at_once_and_ends_bit_identical(tmp_path, whole):
    with survivor(tmp_path) as process:
        reached = wait_for_step(process, EPOCH_STEPS + 7)
        process.terminate()
        begun = time.monotonic()
        process.communicate(timeout=300)
        assert time.monotonic() - begun < SECONDS_TO_STOP
    first, last = checkpoints(tmp_path)
    assert first == EPOCH_STEPS
    assert reached <= last < 2 * EPOCH_STEPS
    assert finish(tmp_path, "export")[0] == last + 1
    # The best weights so far were read from the checkpoint too.
    assert (*outcome(tmp_path), exported(tmp_path)) == whole


MAIN = ("tf_metamixup.main", "--mode=ssl", "--architecture=cnn3(width=2)", "--batch_size=20")


def test_a_signal_while_the_graph_is_built_ends_the_run_in_time(tmp_path):
    with start(*MAIN, f"--run_dir={tmp_path}/run") as process:
        reported = ""
        while "0/" not in reported:  # the progress bar, which stands before the graph is built
            letter = process.stderr.read(1)
            assert letter, reported
            reported += letter
        time.sleep(1.5)
        begun = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=300)
    took = time.monotonic() - begun
    print(f"SIGINT in building a graph: {took:.1f} s")
    assert process.returncode == 128 + signal.SIGINT, reported + err
    assert took < SECONDS_TO_STOP
    assert "stopped by SIGINT" in err
    assert "Traceback" not in err
    assert out == ""


def test_a_signal_while_tensorflow_loads_ends_the_run_in_time(tmp_path):
    with start(*MAIN, f"--run_dir={tmp_path}/run") as process:
        time.sleep(2)
        begun = time.monotonic()
        process.terminate()
        _, err = process.communicate(timeout=300)
    took = time.monotonic() - begun
    print(f"SIGTERM in loading: {took:.1f} s")
    assert process.returncode == 128 + signal.SIGTERM
    assert took < SECONDS_TO_STOP
    assert "stopped by SIGTERM" in err
    assert "Traceback" not in err


def test_two_replicas_stop_on_sigterm_with_143_and_go_on_to_the_end(tmp_path):
    command = (*MAIN, f"--run_dir={tmp_path}/run", "--replicas=2", "--epochs=12")
    command = (*command, "--evaluate_every=12", "--checkpoint_every=1", "--noexport")
    with start(*command) as process:
        deadline = time.monotonic() + 200
        while not checkpoints(tmp_path / "run"):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.terminate()
        _, err = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert "stopped by SIGTERM" in err
    with start(*command) as process:
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    result = result_of(tmp_path / "run")
    assert result["status"] == "finished"
    assert len(result["history"]) == 12
    assert result["config"]["replicas"] == result["config"]["row_groups"] == 2


LOADING = """
import sys, time
from tf_metamixup import main
from tf_metamixup.data import image_files

decode = image_files.decode

def slow(*arguments):
    # One write: of the two of `print` other threads' can come between.
    sys.stdout.write("an image\\n")
    sys.stdout.flush()
    time.sleep(0.5)
    return decode(*arguments)

image_files.decode = slow
sys.exit(main.main(sys.argv))
"""


def test_a_signal_while_images_load_ends_the_run_in_time(tmp_path):
    for folder in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(40):
            Image.effect_noise((640, 480), 60).save(tmp_path / folder / f"{number}.png")
    flags = (f"--dataset=folder:{tmp_path}", f"--run_dir={tmp_path}/run")
    command = [sys.executable, "-c", LOADING, *flags]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "an image\n"
        begun = time.monotonic()
        process.terminate()
        _, err = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert time.monotonic() - begun < SECONDS_TO_STOP
    assert "stopped by SIGTERM" in err
    assert "Traceback" not in err
