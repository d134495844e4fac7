"""Mistakes in methods and policies of a user's own are named, by both entrances."""

import dataclasses

import keras
import pytest
import tensorflow as tf

import tf_metamixup as tmm
from tests import tiny
from tf_metamixup.core.errors import UserError
from tf_metamixup.methods.method import Method, Ratio
from tf_metamixup.policies import Policy

SCALAR = tf.zeros([])


@dataclasses.dataclass(frozen=True)
class Returning(Method):
    """Returns what it is told to."""

    value: object

    def loss(self, forward, mixture, batch, clock):
        return self.value


@dataclasses.dataclass(frozen=True)
class Drawing(Policy):
    """Returns what a function of the number of rows gives."""

    function: object

    def __call__(self, task, draws):
        return self.function(task)


class Plain(Policy):
    """Is no dataclass."""


@dataclasses.dataclass(frozen=True)
class Remembering(Method):
    def memory(self, classes):
        return {"mean": [0.0] * classes}


def by_trainer(policy, method):
    trainer = tiny.trainer(method, policy, model=tiny.unnamed)
    graphs = trainer.graphs(labelled=tiny.streams()["labelled"], epoch_steps=3, steps=6)
    graphs.train(graphs.batches(0), 0, 1)


def by_keras(policy, method):
    mixed = tmm.MixUpModel(tiny.unnamed(), policy, method)
    mixed.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = tiny.images(8)
    mixed.fit(images.astype("float32"), labels, verbose=0)


ENTRANCES = pytest.mark.parametrize("train", [by_trainer, by_keras])


@ENTRANCES
@pytest.mark.parametrize(
    "value",
    [
        (tf.zeros([8]), {}),  # `over_batch` was forgotten
        SCALAR,
        None,
        (SCALAR, None),
        (SCALAR, {"mine": SCALAR}),
        (SCALAR, {"train_loss": Ratio(SCALAR, SCALAR)}),
    ],
    ids=["one loss a row", "no metrics", "nothing", "None", "no ratio", "a name that is taken"],
)
def test_a_loss_is_a_scalar_with_ratios_by_name(train, value):
    with pytest.raises(UserError, match=r"loss\(\) of method Returning.* be a scalar tensor and"):
        train("none", Returning(value))


@ENTRANCES
@pytest.mark.parametrize(
    "function",
    [
        lambda task: tf.ones([task.rows]),
        lambda task: None,
        lambda task: task.given(tf.constant(0.5)),
        lambda task: task.given(tf.ones([task.rows, 1])),
        lambda task: task.given(tf.ones([1])),
        lambda task: task.given(0.5),
    ],
    ids=["a bare tensor", "nothing", "one number", "a column", "one for all", "Python's"],
)
def test_a_policy_gives_one_lambda_for_each_row(train, function):
    with pytest.raises(UserError, match=r"policy Drawing.* be task.given\(lam\) with lam of shape"):
        train(Drawing(function), "supervised")


@pytest.mark.parametrize("lam", [-3.0, 1.5])
def test_a_lambda_lies_between_0_and_1(tmp_path, lam):
    policy = Drawing(lambda task: task.given(tf.fill([task.rows], lam)))
    trainer = tiny.trainer("supervised", policy, model=tiny.unnamed)
    labelled = tiny.streams()["labelled"]
    with pytest.raises(UserError, match=f"a lambda of policy Drawing.* is {lam:g}; it must lie in"):
        trainer.fit(labelled=labelled, steps=2, run_dir=tmp_path)
    with pytest.raises(UserError, match=f"Drawing.* is not between 0 and 1: {lam:g}"):
        by_keras(policy, "supervised")


@pytest.mark.parametrize("value", [SCALAR, (1.0, {})])
def test_the_loss_of_the_meta_stage_is_checked_too(value):
    trainer = tiny.trainer(Returning(value), "meta", model=tiny.unnamed)
    data = {name: tiny.streams()[name] for name in ("labelled", "meta")}
    graphs = trainer.graphs(**data, epoch_steps=3, steps=6)
    with pytest.raises(UserError, match=r"loss\(\) of method Returning.* be a scalar tensor and"):
        graphs.train(graphs.batches(0), 0, 1)


def test_a_short_batch_that_row_groups_cannot_share_is_named():
    images, labels = tiny.images(20)
    labelled = tf.data.Dataset.from_tensor_slices((images, labels)).batch(12)  # then 8
    trainer = tiny.trainer("supervised", "beta", model=tiny.unnamed, row_groups=3)
    graphs = trainer.graphs(labelled=labelled, epoch_steps=2, steps=4)
    batches = graphs.batches(0)
    graphs.train(batches, 0, 1)
    with pytest.raises(UserError, match=r"split evenly into 3 row groups: drop a short one.* 8"):
        graphs.train(batches, 1, 1)


@ENTRANCES
@pytest.mark.parametrize("policy", [None, Plain(), Drawing, 3])
def test_a_policy_is_a_name_or_an_instance_that_records_can_tell_apart(train, policy):
    with pytest.raises(UserError, match="must be a name or a Policy that is a dataclass"):
        train(policy, "supervised")


@ENTRANCES
@pytest.mark.parametrize("method", [None, Returning, Method()])
def test_a_method_is_a_name_or_an_instance_that_records_can_tell_apart(train, method):
    with pytest.raises(UserError, match="must be a name or a Method that is a dataclass"):
        train("none", method)


def test_what_a_method_remembers_is_nothing_that_keras_saves():
    by_trainer("none", Remembering())
    with pytest.raises(UserError, match="remembers something from step to step"):
        by_keras("none", Remembering())


@pytest.mark.parametrize("seed", [None, 1.5, -1])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(UserError, match=r"seed=.* must be"):
        tmm.MixUpModel(tiny.unnamed(), "none", seed=seed)


def test_layers_are_not_frozen_behind_a_trainers_back(tmp_path):
    trainer = tiny.trainer("supervised", "none", model=tiny.unnamed)
    trainer.model.layers[-1].trainable = False
    with pytest.raises(UserError, match="frozen or unfrozen after its Trainer was made"):
        trainer.fit(tiny.test_set(), steps=1, run_dir=tmp_path)
