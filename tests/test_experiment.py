import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.outcome import result_of
from tf_metamixup import experiment, models
from tf_metamixup.config import Config
from tf_metamixup.core.errors import UserError
from tf_metamixup.distribution.workers import Workers
from tf_metamixup.experiment import assemble, canonical, make_schedule, rebuild


@pytest.mark.parametrize(("epochs", "epoch_steps"), [(200, 455), (10, 1)])
def test_steps_divides_the_rate_by_ten_after_30_60_and_90_percent_of_the_epochs(
    epochs, epoch_steps
):
    config = Config(mode="ssl", epochs=epochs).resolve()
    schedule = make_schedule(config, epochs * epoch_steps)
    for number, share in enumerate((0.3, 0.6, 0.9)):
        first = round(epochs * share) * epoch_steps  # of the epoch with the new rate
        assert float(schedule(first - 1)) == pytest.approx(0.1 * 0.1**number)
        assert float(schedule(first)) == pytest.approx(0.1 * 0.1 ** (number + 1))


def test_cosine_falls_from_the_whole_rate_to_nothing():
    config = Config(learning_rate=0.2).resolve()
    schedule = make_schedule(config, 100)
    assert float(schedule(0)) == pytest.approx(0.2)
    assert float(schedule(50)) == pytest.approx(0.1)
    assert float(schedule(100)) == pytest.approx(0, abs=1e-7)


def test_late_is_a_fifth_from_80_percent_on():
    schedule = make_schedule(Config(schedule="late").resolve(), 500_000)
    rates = [float(schedule(step)) for step in (0, 399_999, 400_000, 499_999)]
    assert rates == pytest.approx([0.1, 0.1, 0.02, 0.02])


def test_constant_stays():
    assert make_schedule(Config(schedule="constant").resolve(), 100) == 0.1


def test_a_warm_up_begins_with_a_small_share_of_the_rate():
    config = Config(warmup_steps=100, schedule="constant").resolve()
    schedule = make_schedule(config, 1000)
    rates = [float(schedule(step)) for step in (0, 49, 99, 999)]
    assert rates == pytest.approx([0.001, 0.05, 0.1, 0.1])


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({}, 0.8),
        ({"mode": "ssl"}, 0.8),
        ({"method": "audit", "policy": "dynamic(2.0)"}, 0.8),
        ({"mix_until": 1.0}, 1.0),
        ({"mix_until": 0.9}, 0.9),
        ({"policy": "meta"}, 1.0),
        ({"policy": "none"}, 1.0),
        ({"policy": "cutmix"}, 1.0),
        ({"method": "fixmatch", "mode": "ssl"}, 1.0),
        ({"method": "adamixup", "policy": "none"}, 1.0),
        ({"dataset": "digits", "policy": "beta"}, 1.0),
    ],
)
def test_mixing_stops_early_by_default_where_that_was_measured_on_images_of_ones_own(
    settings, share
):
    config = Config(**{"dataset": "folder:photos", **settings}).resolve()
    assert canonical(config).mix_until == share


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, 100),
        ({"warmup_steps": 0}, 0),
        ({"warmup_steps": 7}, 7),
        ({"architecture": "cnn3(width=2, batch_norm=True)"}, 0),
        ({"architecture": "wrn(depth=10, width=1)"}, 0),
    ],
)
def test_networks_without_normalization_warm_up_by_default(settings, steps):
    config = Config(**{"architecture": "cnn3(width=2)", "policy": "none"} | settings)
    assembly = assemble(config.resolve(), tf.distribute.get_strategy())
    assert assembly.config.warmup_steps == steps
    rate = 0.1 / (steps or 1)
    assert float(assembly.trainer.learning_rate(0)) == pytest.approx(rate)


def test_workers_of_other_settings_are_reported_before_the_model_is_made(monkeypatch):
    """Its variables are the first that they share: of other shapes they would end in TensorFlow."""

    class TwoWorkers(Workers):
        def __init__(self, strategy):
            super().__init__(strategy)
            self.count = 2

        def exchange(self, numbers):
            # The other one could load its data, and has other settings.
            return np.array([numbers, [*numbers[:-1], numbers[-1] + (len(numbers) > 1)]])

    monkeypatch.setattr(experiment, "Workers", TwoWorkers)
    monkeypatch.setattr(models, "make", lambda *_: pytest.fail("the model is made"))
    config = Config(architecture="cnn3(width=2)", policy="none").resolve()
    with pytest.raises(UserError, match="worker 1 of 2 has other settings than worker 0"):
        assemble(config, tf.distribute.get_strategy())


def losses_of(seed, **settings):
    """The losses of 60 steps on digits, of a network that is wide for them."""
    config = Config(policy="none", architecture="cnn3(width=64)", batch_size=50, seed=seed)
    config = dataclasses.replace(config, **settings).resolve()
    assembly = assemble(config, tf.distribute.get_strategy())
    return assembly.graphs.train(assembly.graphs.batches(0), 0, 60)[1]


@pytest.mark.parametrize("seed", [0, 2])
def test_a_network_without_normalization_learns_at_the_papers_rate(seed):
    assert losses_of(seed)[-20:].mean() < 1


def test_without_a_warm_up_it_dies():
    """The literal setting: the loss is that of a guess among ten classes."""
    assert losses_of(0, warmup_steps=0)[-20:].mean() == pytest.approx(np.log(10), abs=0.05)


@pytest.fixture(scope="module")
def run(finished_mixup):
    return finished_mixup


@pytest.fixture
def copy(run, tmp_path):
    """A run directory that a test may change."""
    return shutil.copytree(run, tmp_path / "run")


def test_where_an_earlier_version_noted_tfds_data_is_not_asked_of_a_folder(tmp_path, monkeypatch):
    class AssembledError(Exception):
        pass

    def note(config, _):
        raise AssembledError(config.dataset, config.data_dir)

    monkeypatch.setattr(experiment, "assemble", note)
    with pytest.raises(AssembledError, match=r"'folder:photos', None"):
        rebuild(tmp_path, {"config": {"dataset": "folder:photos", "data_dir": "/tfds"}})


def test_the_rebuilt_network_has_the_recorded_error_and_loss(run):
    result = result_of(run)
    assembly = rebuild(run, result)
    measured = assembly.trainer.evaluate(assembly.prepared.test)
    assert measured["error"] == result["test_error"]
    assert measured["loss"] == pytest.approx(result["test_loss"], rel=1e-6)
    assert assembly.trainer.steps_taken == assembly.steps == 6


def test_the_feature_cache_is_there_again(finished_pair):
    run = finished_pair / "meta"
    graphs = rebuild(run, result_of(run)).graphs
    features, labels = graphs.recipe.feature_cache.rows()
    assert features.numpy().any() and (labels.numpy().sum(axis=1) == 1).all()


def test_a_run_of_two_replicas_is_rebuilt_on_one_device_with_their_row_groups(run):
    result = result_of(run)
    result["config"] |= {"replicas": 2, "row_groups": 2}
    assembly = rebuild(run, result)
    assert (assembly.config.replicas, assembly.config.row_groups) == (1, 2)


def test_a_run_without_its_last_checkpoint_is_reported(copy):
    shutil.rmtree(copy / "checkpoints" / "step-0000000006")
    with pytest.raises(UserError, match=r"checkpoints does not hold the end of the run, step 6"):
        rebuild(copy, result_of(copy))


def test_other_data_than_the_run_was_trained_on_are_reported(copy):
    splits = json.loads((copy / "splits.json").read_text())
    splits["labelled"].reverse()
    (copy / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(UserError, match=r"digits .* is not the one .* --data_dir"):
        rebuild(copy, result_of(copy))


def test_a_run_without_its_splits_is_reported(copy):
    (copy / "splits.json").unlink()
    with pytest.raises(UserError, match=r"cannot read .*splits\.json"):
        rebuild(copy, result_of(copy))


def test_a_run_of_a_users_own_model_is_reported(run):
    with pytest.raises(UserError, match=r"is a run of your own program"):
        rebuild(run, {"config": {"method": "supervised", "policy": "meta", "parameters": 3}})


def test_a_run_of_an_older_version_is_rebuilt_with_the_defaults_of_what_it_had_not(run):
    result = result_of(run)
    del result["config"]["corrupt_images"]
    assert rebuild(run, result).config.corrupt_images == "stop"


def test_settings_are_names_and_never_programs(run):
    result = result_of(run)
    result["config"]["architecture"] = "cnn3(width=__import__('os').getpid())"
    with pytest.raises(UserError):
        rebuild(run, result)


def test_what_an_older_version_did_not_record_is_what_it_did(monkeypatch, tmp_path):
    given = Config(dataset="folder:photos", mode="sl", optimizer="adam", schedule="constant")
    old = dataclasses.asdict(given.resolve())
    del old["mix_until"], old["learning_rate"]
    seen = []
    monkeypatch.setattr(experiment, "assemble", lambda config, _: seen.append(config) or {}["end"])
    with pytest.raises(KeyError, match="end"):
        rebuild(tmp_path, {"config": old})
    assert (seen[0].mix_until, seen[0].learning_rate) == (1.0, 0.1)
