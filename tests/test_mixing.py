import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup import mixing
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.rng import Draws
from tf_metamixup.mixing import Examples

DRAWS = Draws.at(0, tf.constant(0))


def examples(weight, pool, groups=1):
    n = len(weight)
    return Examples(
        x=tf.zeros([n, 2, 2, 1]),
        y=tf.zeros([n, 3]),
        weight=tf.constant(weight, tf.float32),
        pool=tf.constant(pool, tf.int32),
        truth=tf.fill([n], tf.constant(mixing.LABELLED, tf.int64)),
        groups=groups,
    )


def test_mix_is_equation_4_on_images_and_targets_alike():
    lam = tf.constant([0.25, 1.0])
    partner = tf.constant([1, 0])
    images = tf.reshape(tf.constant([0.0, 0, 0, 0, 8, 8, 8, 8]), [2, 2, 2, 1])
    targets = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    mixed = mixing.mix(images, partner, lam)
    np.testing.assert_allclose(mixed[0], np.full([2, 2, 1], 6.0))
    np.testing.assert_allclose(mixed[1], np.full([2, 2, 1], 8.0))
    np.testing.assert_allclose(mixing.mix(targets, partner, lam), [[0.25, 0.75], [0, 1]])


def test_pairs_are_a_permutation():
    partner = mixing.pairs(examples(np.ones(50), np.zeros(50)), DRAWS).numpy()
    assert sorted(partner) == list(range(50))
    assert (partner != np.arange(50)).sum() > 40


def test_rejected_rows_are_their_own_partner_and_nobody_elses():
    weight = np.array([1, 0, 1, 1, 0, 1, 1, 1])
    partner = mixing.pairs(examples(weight, np.zeros(8)), DRAWS).numpy()
    rejected = np.flatnonzero(weight == 0)
    assert (partner[rejected] == rejected).all()
    assert sorted(partner[weight > 0]) == list(np.flatnonzero(weight))


def test_pools_and_row_groups_do_not_mix():
    pool = np.array([0, 0, 0, 1, 1, 1] * 2)
    partner = mixing.pairs(examples(np.ones(12), pool, groups=2), DRAWS).numpy()
    assert (pool[partner] == pool).all()
    assert (partner // 6 == np.arange(12) // 6).all()
    assert sorted(partner) == list(range(12))


def test_a_batch_without_accepted_rows_pairs_each_with_itself():
    partner = mixing.pairs(examples(np.zeros(4), np.zeros(4)), DRAWS)
    np.testing.assert_array_equal(partner, np.arange(4))


def test_each_row_group_pairs_as_the_replica_that_owns_it():
    whole = mixing.pairs(examples(np.ones(12), np.zeros(12), groups=2), DRAWS).numpy()
    for shard in (0, 1):
        draws = Draws.at(0, tf.constant(0), shard, 2)
        own = mixing.pairs(examples(np.ones(6), np.zeros(6)), draws).numpy()
        np.testing.assert_array_equal(own + 6 * shard, whole[6 * shard : 6 * shard + 6])


def test_join_lays_rows_out_group_by_group():
    joined = mixing.join(2, tf.constant([0, 1, 2, 3]), tf.constant([10, 11]))
    np.testing.assert_array_equal(joined, [0, 1, 10, 2, 3, 11])


def test_integers_are_not_mixed():
    with pytest.raises(UserError, match="values of type uint8 must be floats"):
        mixing.mix(np.array([[100], [200]], np.uint8), tf.constant([1, 0]), np.array([0.75, 0.75]))


@pytest.mark.parametrize(("mixes", "value", "move"), [(True, 0.25, -1.5), (False, 1.0, 0.0)])
def test_lambdas_are_1_and_unmoved_where_mixing_has_stopped(mixes, value, move):
    learned = mixing.Lambdas(tf.constant([0.25]), tf.constant([0.5]), tf.constant([-1.5]))
    found = learned.where(tf.constant(mixes))
    assert [float(part[0]) for part in found[:3]] == [value, 0.5 if mixes else 1.0, move]
    assert found.pixels is None
