"""The job on real images, through its command line, in processes of its own."""

import subprocess
import sys

import pytest
import tensorflow as tf

from tests.outcome import result_of
from tf_metamixup.config import Config
from tf_metamixup.experiment import assemble

pytestmark = pytest.mark.slow


def job(tmp_path, *flags):
    command = [sys.executable, "-m", "tf_metamixup.main", f"--run_dir={tmp_path}/run", "--noexport"]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return result_of(tmp_path / "run")


def test_supervised_metamixup_learns_fashion_mnist(real_data, tmp_path):
    result = job(
        tmp_path,
        f"--data_dir={real_data}",
        *("--dataset=fashion_mnist", "--architecture=cnn3(width=4, batch_norm=True)"),
        *("--train_examples=2000", "--batch_size=50", "--epochs=3"),
    )
    assert result["labels_used"] == 3000  # 2,000 labelled and 1,000 meta images
    assert result["test_error"] < 40  # a guess is wrong in 90 of 100
    last = result["history"][-1]
    assert last["lambda_move_mean"] > 0.1


def test_semi_supervised_metamixup_steps_on_cifar10(real_data, tmp_path):
    result = job(
        tmp_path,
        f"--data_dir={real_data}",
        *("--dataset=cifar10", "--mode=ssl", "--architecture=wrn(depth=10, width=1)"),
        *("--batch_size=20", "--max_steps=3"),
    )
    assert result["status"] == "stopped"
    assert result["labels_used"] == 4500
    assert 0 < result["test_error"] <= 100


@pytest.mark.parametrize(
    ("policy", "seed", "most"),
    [("none", 1, 1), ("beta", 6, 1.7)],
)
def test_the_seeds_on_which_cnn3_died_learn_fashion_mnist(real_data, policy, seed, most):
    """Without a warm-up they end in NaN or at ln(10) = 2.303."""
    config = Config(dataset="fashion_mnist", data_dir=real_data, policy=policy, seed=seed)
    run = assemble(config.resolve(), tf.distribute.get_strategy())
    assert run.config.architecture == "cnn3"
    losses = run.graphs.train(run.graphs.batches(0), 0, 120)[1]
    assert losses[-20:].mean() < most
