"""Fine-tuning in two stages: the body trains after a share of the run."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_metamixup as tmm
from tests import tiny
from tests.tiny_body import tiny_application  # noqa: F401
from tf_metamixup.core.errors import UserError
from tf_metamixup.data import ArrayStream, scale
from tf_metamixup.training.optimizer import Staged, make_optimizer

STEPS, SWITCH = 10, 5
SHAPE = (8, 8, 1)


def streams():
    pixels, labels = tiny.images()
    pixels = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return {
        name: ArrayStream(pixels, labels, rows, batch_size=8, seed=0, purpose=name)
        for name, rows in (("labelled", np.arange(60)), ("meta", np.arange(60, 96)))
    }


def trainer(policy="meta", optimizer="adam", frozen=True, unfreeze_at=0.5):
    keras.utils.set_random_seed(0)
    spec = f"keras(name='TinyBody', frozen={frozen}, unfreeze_at={unfreeze_at})"
    model = tmm.models.make(spec, SHAPE, tiny.CLASSES)
    return tmm.Trainer(
        model,
        "supervised",
        policy,
        0.01,
        optimizer=optimizer,
        preprocess=scale,
        unfreeze_at=unfreeze_at,
    )


def fit(made, run_dir, max_steps=None):
    made.fit(**streams(), steps=STEPS, epoch_steps=STEPS, run_dir=run_dir, max_steps=max_steps)
    return made


def body(made):
    return [np.asarray(v) for v in made.model.get_layer("body").weights]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        from tests.tiny_body import TinyBody

        patch.setattr(keras.applications, "TinyBody", TinyBody, raising=False)
        return tiny.weights(fit(trainer(), tmp_path_factory.mktemp("whole")))


def test_the_body_trains_from_the_switch_on_and_the_step_is_traced_once_more(tmp_path, capsys):
    made = trainer("meta(estimator='nested')")
    start, traced = body(made), []
    at_switch = body(fit(made, tmp_path, SWITCH))
    for before, after in zip(start, at_switch, strict=True):
        np.testing.assert_array_equal(before, after)
    original = made.graphs

    def graphs(**data):
        traced.append(original(**data))
        return traced[-1]

    made.graphs = graphs
    after = body(fit(made, tmp_path))
    changed = [bool((a != b).any()) for a, b in zip(start, after, strict=True)]
    # Kernel, bias, gamma and beta; the moving statistics stay.
    assert changed == [True, True, True, True, False, False]
    assert traced[0]._train.experimental_get_tracing_count() == 1
    assert "from step 5 on the body trains too" in capsys.readouterr().err


@pytest.mark.parametrize("stop", [SWITCH - 2, SWITCH + 2])
def test_a_run_that_was_stopped_about_the_switch_ends_with_the_same_bits(tmp_path, whole, stop):
    fit(trainer(), tmp_path, stop)
    for ours, theirs in zip(tiny.weights(fit(trainer(), tmp_path)), whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_late_weights_take_adams_first_step_as_all_do():
    early, late = (keras.Variable(np.zeros(3), dtype="float32") for _ in range(2))
    staged = Staged(make_optimizer("adam", 0.1, 0), make_optimizer("adam", 0.1, 0), [late])
    staged.build([early, late])
    for _ in range(50):
        staged.apply([tf.ones(3)], [early])
    assert not np.asarray(late).any()
    staged.apply([tf.ones(3), tf.ones(3)], [early, late])
    # Adam's first step has the length of the rate.
    np.testing.assert_allclose(late, -0.1, rtol=1e-4)
    assert int(staged.iterations) == 51


def test_a_model_without_a_body_cannot_unfreeze_it():
    with pytest.raises(UserError, match="layer named 'body'"):
        tiny.trainer(unfreeze_at=0.5)
