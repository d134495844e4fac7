import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.methods.by_hand import batch, unmixed
from tests.policies.by_hand import DRAWS, task
from tf_metamixup import methods, mixing, policies
from tf_metamixup.core.errors import UserError
from tf_metamixup.policies.cutmix import outside

SIZE = tf.constant([4, 6])


def drawn(text, **more):
    return policies.make(text)(task(image_size=SIZE, **more), DRAWS)


def test_a_rectangle_by_hand_is_cut_off_at_the_border():
    # Half of each side: 2 rows and, rounded down to an even number, 2 columns about the middle.
    sides = tf.constant([0.5, 0.5, 0.0], tf.float64)
    center = tf.constant([[0.5, 0.5], [0.0, 0.99], [0.5, 0.5]], tf.float64)
    area, kept = outside(sides, center, SIZE)
    expected = np.ones([3, 4, 6])
    expected[0, 1:3, 2:4] = expected[1, :1, 4:] = 0
    np.testing.assert_array_equal(kept[..., 0], expected)
    np.testing.assert_allclose(area, [20 / 24, 22 / 24, 1])


def test_the_partner_is_pasted_and_targets_are_mixed_by_the_area():
    x = tf.reshape(tf.range(2.0), [2, 1, 1, 1]) * tf.ones([2, 4, 6, 1])
    data = batch(x.numpy(), [[1.0, 0.0], [0.0, 1.0]], [[[0.0]]])
    examples = unmixed(methods.make("supervised").examples(None, data, None, 1)).examples
    area, kept = outside(tf.constant([0.5, 0.5]), tf.constant([[0.5, 0.5]] * 2), SIZE)
    mixture = mixing.Mixture(examples, tf.constant([1, 0]), area, kept)
    np.testing.assert_array_equal(mixture.x[0], 1 - kept[0])
    np.testing.assert_array_equal(mixture.x[1], kept[1])
    np.testing.assert_allclose(mixture.y, [[20 / 24, 4 / 24], [4 / 24, 20 / 24]], rtol=1e-6)


@pytest.mark.parametrize("text", ["cutmix", "cutmix(per_sample=True)", "mixup_cutmix"])
@pytest.mark.parametrize("fold", [False, True])
def test_lambda_is_the_mean_over_pixels(text, fold):
    lambdas = drawn(text, fold_lambda=fold)
    np.testing.assert_allclose(lambdas.value, tf.reduce_mean(lambdas.pixels, (1, 2, 3)))
    assert (len(set(lambdas.value.numpy())) > 1) == ("per_sample" in text)
    if fold:
        assert (lambdas.value.numpy() >= 0.5).all()


def test_the_switch_decides_between_both():
    assert set(np.unique(drawn("mixup_cutmix(switch=1.0)").pixels)) <= {0, 1}
    assert len(np.unique(drawn("mixup_cutmix(switch=0.0)").pixels)) == 1
    spread = drawn("mixup_cutmix(per_sample=True)").pixels.numpy().reshape(4, -1)
    assert {len(np.unique(row)) for row in spread} == {1, 2}


def test_what_cannot_be_pasted_is_refused():
    for option in ("alpha=0.0", "cutmix_alpha=0.0", "switch=2.0"):
        with pytest.raises(UserError, match=f"mixup_cutmix: {option} must lie in"):
            policies.make(f"mixup_cutmix({option})")
    with pytest.raises(UserError, match="mixes hidden layers too; use policy beta"):
        tiny.trainer("manifold_mixup", "cutmix")
