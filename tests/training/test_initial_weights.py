"""What a run starts from: its model's weights, another run's, and never a rest of another run."""

import functools
import json
import shutil
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.outcome import outcome, result_of
from tf_metamixup import experiment, main
from tf_metamixup.config import Config
from tf_metamixup.core.errors import UserError
from tf_metamixup.experiment import assemble
from tf_metamixup.runs.checkpoints import SUMS, _sha256, read_model
from tf_metamixup.training import initial_weights

PLAN = {"steps": 4, "epoch_steps": 2}
FLAGS = (
    *("--architecture=cnn3(width=2, features=2)", "--train_examples=60", "--num_meta=20"),
    *("--batch_size=20", "--epochs=2", "--policy=beta", "--noexport"),
)


def parse(run, run_dir, *flags):
    flags = (*FLAGS, f"--initial_weights={run}", f"--run_dir={run_dir}", *flags)
    return experiment.canonical(main.parse(["main", *flags]))


def fit(trainer, run_dir, **plan):
    return trainer.fit(**tiny.streams(), run_dir=run_dir, **(PLAN | plan))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A Trainer with its run directory, which no test may change."""
    trainer = tiny.trainer("supervised", "none")
    folder = tmp_path_factory.mktemp("trained") / "run"
    fit(trainer, folder)
    return trainer, folder


def test_a_second_fit_into_another_run_directory_is_refused_and_writes_nothing(trained, tmp_path):
    trainer, _ = trained
    before = tiny.weights(trainer)
    message = r"has taken 4 steps.*other holds no checkpoint.*build a new Trainer.*use the run_dir"
    with pytest.raises(UserError, match=message):
        fit(trainer, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    for old, new in zip(before, tiny.weights(trainer), strict=True):
        np.testing.assert_array_equal(old, new)
    assert "steps taken" in trainer.card()  # which is still of its own run


def test_a_second_fit_into_the_same_run_directory_returns_the_finished_result(trained):
    trainer, folder = trained
    recorded = result_of(folder)
    assert fit(trainer, folder) == recorded
    assert fit(tiny.trainer("supervised", "none"), folder) == recorded


def test_a_longer_second_fit_is_refused_and_says_how_to_start_from_the_weights(trained):
    trainer, folder = trained
    with pytest.raises(UserError, match=r"steps: 4 there, 8 here.* another run_dir and a new Trai"):
        fit(trainer, folder, steps=8)


def test_a_stopped_fit_goes_on_in_its_run_directory_like_an_uninterrupted_one(trained, tmp_path):
    trainer = tiny.trainer("supervised", "none")
    assert fit(trainer, tmp_path / "run", max_steps=3)["status"] == "stopped"
    with pytest.raises(UserError, match="has taken 3 steps"):
        fit(trainer, tmp_path / "other")
    assert fit(trainer, tmp_path / "run")["status"] == "finished"
    for one, other in zip(tiny.weights(trainer), tiny.weights(trained[0]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_fit_that_failed_before_its_first_step_may_be_made_elsewhere(trained, tmp_path):
    trainer = tiny.trainer("supervised", "none", seed=1)
    with pytest.raises(UserError, match="choose another --run_dir"):
        fit(trainer, trained[1])
    assert fit(trainer, tmp_path / "run", max_steps=1)["steps"] == 1


def test_a_fit_that_failed_before_its_first_checkpoint_is_not_repeated_from_its_weights(
    trained, tmp_path
):
    trainer, _ = trained
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_text('{"status": "failed"}')
    with pytest.raises(UserError, match="has taken 4 steps"):
        fit(trainer, tmp_path / "run")


def test_a_model_that_another_trainer_left_is_reported(trained, tmp_path):
    model = tiny.network()
    left = trained[0].model.get_weights()
    model.set_weights(left)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer = tiny.trainer("supervised", "none", model=lambda: model)
        initial_weights.check(trainer, tmp_path)  # of a user's loading: nothing to tell
        initial_weights.remember(model)
        model.set_weights([weight + 1 for weight in left])
        initial_weights.check(trainer, tmp_path)
    model.set_weights(left)
    with pytest.warns(UserWarning, match=r"was trained by another Trainer.*build the model again"):
        initial_weights.check(trainer, tmp_path)
    with pytest.warns(UserWarning, match="was trained by another Trainer"):
        again = tiny.trainer("supervised", "none", model=lambda: trained[0].model)
        initial_weights.check(again, tmp_path)


def test_a_model_that_diverged_is_no_start(tmp_path):
    model = tiny.network()
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with pytest.raises(UserError, match=r"not finite before the first step.*build the model again"):
        fit(tiny.trainer("supervised", "none", model=lambda: model), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """A Trainer that evaluates averaged weights, with BatchNorm, and its run directory."""
    network = functools.partial(tiny.network, norm="plain", dropout=0.2)
    trainer = tiny.trainer("mixmatch", "none", model=network)
    folder = tmp_path_factory.mktemp("averaged") / "run"
    trainer.fit(**tiny.streams(views=2), run_dir=folder, **PLAN)
    return trainer, folder


def settings(run, run_dir, architecture="cnn3"):
    return Config(
        architecture=architecture, initial_weights=str(run), run_dir=str(run_dir)
    ).resolve()


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_weights_are_those_that_the_other_run_evaluates(averaged, tmp_path, replicas):
    theirs, folder = averaged
    network = functools.partial(tiny.network, norm="plain", dropout=0.2, seed=1)
    trainer = tiny.trainer("mixmatch", "none", model=network, replicas=replicas)
    initial_weights.load(trainer, settings(folder, tmp_path / "new"))
    averaged = [*theirs.model.trainable_variables, *theirs.model.non_trainable_weights]
    averages = dict(zip(map(id, averaged), theirs.network.averages, strict=True))
    for ours, their in zip(trainer.model.weights, theirs.model.weights, strict=True):
        np.testing.assert_array_equal(ours, np.asarray(averages[id(their)]))
    raw = theirs.model.trainable_variables[0]
    assert (np.asarray(raw) != np.asarray(trainer.model.trainable_variables[0])).any()
    images = tf.constant(tiny.images(6)[0])
    ours = trainer.model(trainer.network.preprocess(images))
    np.testing.assert_allclose(ours, theirs.network.predict(images), rtol=1e-6)


def test_a_teacher_starts_from_the_weights_that_its_student_starts_from():
    trainer = tiny.trainer("mean_teacher", "none")
    trainer.model.set_weights([weight + 1 for weight in trainer.model.get_weights()])
    trainer.graphs(**tiny.streams(views=2), epoch_steps=3, steps=6)
    for average, weight in zip(
        trainer.network.averages, trainer.model.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(np.asarray(average), np.asarray(weight))


def test_a_new_run_starts_with_the_error_of_the_other_one(finished_mixup, tmp_path):
    config = parse(finished_mixup, tmp_path / "new", "--seed=3")
    assembly = assemble(config, tf.distribute.get_strategy())
    initial_weights.load(assembly.trainer, config)
    measured = assembly.trainer.evaluate(assembly.prepared.test)
    result = result_of(finished_mixup)
    assert measured["error"] == result["test_error"]
    assert measured["loss"] == pytest.approx(result["test_loss"], rel=1e-6)
    assert assembly.trainer.steps_taken == 0


def test_a_resumed_run_goes_on_from_its_own_checkpoint_though_the_other_run_is_gone(
    finished_mixup, tmp_path
):
    other = shutil.copytree(finished_mixup, tmp_path / "other")
    main.train(parse(other, tmp_path / "whole"))
    main.train(parse(other, tmp_path / "run", "--max_steps=2"))
    shutil.rmtree(other)
    result = main.train(parse(other, tmp_path / "run"))
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    assert result["config"]["initial_weights"] == str(other)
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())
    assert recorded["settings"]["initial_weights"] == str(other)
    # One that is finished needs neither.
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert main.train(parse(other, tmp_path / "run")) == result


def test_a_run_from_other_weights_is_another_run(finished_mixup, tmp_path):
    shutil.copytree(finished_mixup, tmp_path / "run")
    with pytest.raises(UserError, match=r"initial_weights: None there, '.*' here"):
        main.train(parse(finished_mixup, tmp_path / "run"))


def truncate(run):
    newest = max((run / "checkpoints").glob("step-*"))
    path = newest / "variables.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:100])


def remove_model(run):
    newest = max((run / "checkpoints").glob("step-*"))
    before = _sha256(newest / "state.json")
    state = json.loads((newest / "state.json").read_text())
    del state["model"]
    (newest / "state.json").write_text(json.dumps(state))
    sums = (newest / SUMS).read_text()
    (newest / SUMS).write_text(sums.replace(before, _sha256(newest / "state.json")))


@pytest.mark.parametrize(
    ("spoil", "flags", "message"),
    [
        (shutil.rmtree, [], r"other is not a run directory: there is no .*config\.json; give the"),
        (lambda run: (run / "config.json").unlink(), [], "is not a run directory"),
        (lambda run: (run / "config.json").write_text("{"), [], r"cannot read .*config\.json"),
        (lambda run: shutil.rmtree(run / "checkpoints"), [], "other: there is no checkpoint in"),
        (truncate, [], r"other: the checkpoint .*step-0000000006 is damaged \(variables\.data"),
        (remove_model, [], "of an older version"),
        (
            lambda run: None,
            ["--architecture=cnn3(width=3, features=2)"],
            r"holds the weights of cnn3\(features=2, width=2\) for images 8x8x1 and 10 classes, "
            r"but this run has cnn3\(features=2, width=3\) for images 8x8x1 and 10 classes",
        ),
        (
            lambda run: None,
            ["--architecture=wrn(depth=10, width=1)"],
            r"cnn3\(features=2, width=2\) for.*but this run has wrn\(depth=10, width=1\) for",
        ),
    ],
)
def test_what_cannot_be_started_from_is_reported_before_anything_is_written(
    finished_mixup, tmp_path, spoil, flags, message
):
    other = shutil.copytree(finished_mixup, tmp_path / "other")
    spoil(other)
    with pytest.raises(UserError, match=message) as reported:
        main.train(parse(other, tmp_path / "new", *flags))
    assert "\n" not in str(reported.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        (tiny.SHAPE, 4, "images 6x6x1 and 3 classes, but this run has .* and 4 classes"),
        ((6, 6, 3), 3, "images 6x6x1 and 3 classes, but this run has .* 6x6x3 and 3 classes"),
        ((9, 9, 1), 3, "images 6x6x1 and 3 classes, but this run has .* 9x9x1 and 3 classes"),
    ],
)
def test_other_images_or_classes_are_named(trained, tmp_path, shape, classes, message):
    image = keras.Input(shape)
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    model = keras.Model(image, keras.layers.Dense(classes)(features))
    trainer = tiny.trainer("supervised", "none", model=lambda: model)
    with pytest.raises(UserError, match=message):
        initial_weights.load(trainer, settings(trained[1], tmp_path / "new"))


def test_options_that_change_no_weight_may_differ(finished_mixup, tmp_path):
    model = assemble(parse(finished_mixup, tmp_path / "new"), tf.distribute.get_strategy()).trainer
    config = settings(finished_mixup, tmp_path / "new", "cnn3(batch_norm=False)")
    initial_weights.load(model, config)
    _, theirs = read_model(finished_mixup / "checkpoints")
    for ours, their in zip(model.model.get_weights(), theirs, strict=True):
        np.testing.assert_array_equal(ours, their)


@pytest.mark.parametrize("spelling", ["{}", "{}/", "{}/../run"])
def test_the_run_itself_is_no_start(tmp_path, spelling):
    run_dir = tmp_path / "run"
    with pytest.raises(UserError, match="is the run directory of this run"):
        settings(spelling.format(run_dir), run_dir)


def test_an_empty_run_directory_is_not_the_current_one():
    with pytest.raises(UserError, match="--run_dir= must name a folder"):
        Config(run_dir="").resolve()


def test_nothing_is_no_start(tmp_path):
    with pytest.raises(UserError, match="--initial_weights= is empty"):
        settings("", tmp_path)


def test_one_folder_has_one_spelling(tmp_path):
    assert settings("a//b/", tmp_path).initial_weights == settings("a/b", tmp_path).initial_weights


def test_classes_of_other_names_are_warned_of(trained, tmp_path):
    there = ["a", "b", "c"]
    trainer = tiny.trainer("supervised", "none", class_names=there)
    trainer.fit(**tiny.streams(), run_dir=tmp_path / "old", **PLAN)
    here = tiny.trainer("supervised", "none", class_names=["first", *there[:2]])
    with pytest.warns(UserWarning, match="trained on other classes, 'a' where .* has 'first'"):
        initial_weights.load(here, settings(tmp_path / "old", tmp_path / "new"))
