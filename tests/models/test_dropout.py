import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup.core.errors import UserError
from tf_metamixup.models.dropout import CALLS, RowDropout

SEED = 123_456_789_012


def masked_ones(layer, shape, replica=0, call=0, seed=SEED):
    """Ones of `shape` after dropout, from the seed state that a replica has in a step."""
    state = tf.stack([tf.constant(seed, tf.int64), tf.cast(replica * CALLS + call, tf.int64)])
    values, _ = layer.stateless_call([], [state], tf.ones(shape), training=True)
    return values


def test_two_replicas_drop_what_one_device_drops():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = RowDropout(0.4)

    @tf.function
    def step():
        def on_replica():
            context = tf.distribute.get_replica_context()
            return masked_ones(layer, [3, 5, 2], context.replica_id_in_sync_group)

        return strategy.run(on_replica)

    halves = strategy.experimental_local_results(step())
    whole = masked_ones(RowDropout(0.4), [6, 5, 2])
    np.testing.assert_array_equal(tf.concat(halves, 0), whole)
    assert not np.array_equal(*halves)


def test_the_mask_is_that_of_the_seed_and_of_the_call():
    layer = RowDropout(0.5)
    first = masked_ones(layer, [8, 8])
    np.testing.assert_array_equal(first, masked_ones(RowDropout(0.5), [8, 8]))
    assert not np.array_equal(first, masked_ones(layer, [8, 8], call=1))
    assert not np.array_equal(first, masked_ones(layer, [8, 8], seed=SEED + 1))


def test_a_second_call_in_a_pass_draws_another_mask():
    layer = RowDropout(0.5, seed=1)
    ones = tf.ones([8, 8])
    assert not np.array_equal(layer(ones, training=True), layer(ones, training=True))


def test_the_rate_is_dropped_and_the_expectation_kept():
    values = masked_ones(RowDropout(0.3), [100, 100]).numpy()
    assert np.unique(values) == pytest.approx([0, 1 / 0.7])
    # Four standard deviations of 10,000 draws.
    assert np.mean(values == 0) == pytest.approx(0.3, abs=4 * 0.0046)
    assert np.mean(values) == pytest.approx(1, abs=4 * 0.0066)


def test_without_training_nothing_is_dropped():
    layer = RowDropout(0.9)
    x = tf.random.normal([4, 3])
    np.testing.assert_array_equal(layer(x, training=False), x)
    np.testing.assert_array_equal(layer(x), x)


def test_rates_zero_and_one_keep_all_and_nothing():
    x = tf.ones([2, 3])
    np.testing.assert_array_equal(RowDropout(0.0)(x, training=True), x)
    np.testing.assert_array_equal(RowDropout(1.0)(x, training=True), 0 * x)


def test_noise_shape_drops_whole_channels_of_each_row():
    layer = RowDropout(0.5, noise_shape=(None, 1, None))
    values = masked_ones(layer, [6, 4, 5]).numpy()
    assert (values == values[:, :1]).all()
    assert len(np.unique(values[:, 0])) == 2
    assert len(np.unique(values[:, 0], axis=0)) > 1


def test_a_mask_that_rows_share_is_refused():
    with pytest.raises(UserError, match="begin with None"):
        RowDropout(0.5, noise_shape=(1, None))


def test_half_precision_comes_out_as_it_went_in():
    layer = RowDropout(0.5, dtype="mixed_float16")
    assert layer(tf.ones([2, 3]), training=True).dtype == tf.float16


def test_a_model_with_it_is_saved_and_loaded(tmp_path):
    image = keras.Input([3])
    layer = RowDropout(0.4, noise_shape=(None, 1), seed=7)
    model = keras.Model(image, layer(image))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[-1]
    assert isinstance(loaded, RowDropout)
    # Older versions of Keras give a list back.
    assert (loaded.rate, tuple(loaded.noise_shape), loaded.seed) == (0.4, (None, 1), 7)
