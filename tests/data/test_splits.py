import numpy as np
import pytest

from tf_metamixup.core.errors import UserError
from tf_metamixup.data import splits

LABELS = np.arange(200) % 4  # 50 of each class
UNEVEN = np.repeat([0, 1, 2], [10, 40, 50])


def make(labels=LABELS, classes=4, **options):
    names = [f"class {c}" for c in range(classes)]
    return splits.make(labels, names, **{"seed": 0, "num_meta": 8, **options})


def counts(part, labels=LABELS):
    return np.bincount(labels[part], minlength=labels.max() + 1).tolist()


def test_supervised_labels_all_that_the_meta_set_leaves():
    parts = make()
    assert counts(parts.meta) == [2] * 4
    assert len(parts.unlabelled) == 0
    np.testing.assert_array_equal(np.union1d(parts.labelled, parts.meta), np.arange(200))
    assert len(parts.labelled) == 192


def test_the_three_parts_are_disjoint_sorted_and_balanced():
    parts = make(num_labels=40)
    assert counts(parts.labelled) == [10] * 4
    everything = np.concatenate([parts.labelled, parts.unlabelled, parts.meta])
    np.testing.assert_array_equal(np.sort(everything), np.arange(200))
    for part in (parts.labelled, parts.unlabelled, parts.meta):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()


def test_the_meta_set_does_not_depend_on_the_labels_and_fewer_labels_are_a_subset():
    few, some, many = (make(num_labels=n) for n in (5, 7, 40))
    np.testing.assert_array_equal(few.meta, many.meta)
    assert set(few.labelled) < set(some.labelled) < set(many.labelled)
    assert sorted(counts(few.labelled)) == [1, 1, 1, 2]


def test_the_seed_decides():
    np.testing.assert_array_equal(make(num_labels=8).labelled, make(num_labels=8).labelled)
    assert set(make(num_labels=8).labelled) != set(make(num_labels=8, seed=1).labelled)
    assert set(make().meta) != set(make(seed=-1).meta)


def test_meta_source_train_adds_the_meta_images_to_the_labelled_ones():
    apart, together = (make(num_labels=12, meta_source=m) for m in ("heldout", "train"))
    np.testing.assert_array_equal(together.labelled, np.union1d(apart.labelled, apart.meta))
    np.testing.assert_array_equal(together.unlabelled, apart.unlabelled)
    np.testing.assert_array_equal(together.meta, apart.meta)
    assert len(make(meta_source="train").labelled) == 200
    assert len(make(train_examples=20, meta_source="train").labelled) == 20 + len(apart.meta)
    with pytest.raises(UserError, match="known: heldout, train"):
        make(meta_source="test")


def test_include_labelled_puts_the_labelled_images_among_the_unlabelled():
    parts = make(num_labels=12, include_labelled=True)
    assert set(parts.labelled) < set(parts.unlabelled)
    assert len(parts.unlabelled) == 192
    assert not set(parts.meta) & set(parts.unlabelled)


def test_train_examples_caps_labelled_and_unlabelled_together():
    parts = make(num_labels=12, train_examples=40)
    assert counts(parts.labelled) == [3] * 4
    assert counts(parts.unlabelled) == [7] * 4
    assert counts(make(train_examples=20).labelled) == [5] * 4
    assert len(make(train_examples=10_000).labelled) == 192
    with pytest.raises(UserError, match=r"train_examples=8 .*num_labels=12"):
        make(num_labels=12, train_examples=8)


def test_a_cap_is_balanced_as_far_as_the_classes_allow():
    parts = make(UNEVEN, 3, num_meta=3, train_examples=49)
    assert counts(parts.labelled, UNEVEN) == [9, 20, 20]
    parts = make(UNEVEN, 3, num_meta=3, num_labels=6)
    assert counts(parts.unlabelled, UNEVEN) == [7, 37, 47]


def test_errors_name_the_class_and_the_counts():
    with pytest.raises(UserError, match=r"--num_labels=30 .*10 labelled .*'class 0', but it has 9"):
        make(UNEVEN, 3, num_meta=3, num_labels=30)
    with pytest.raises(UserError, match=r"--num_labels=30 .*--train_examples=30.*it has 9"):
        make(UNEVEN, 3, num_meta=3, num_labels=30, train_examples=30)
    with pytest.raises(UserError, match=r"--num_meta=35 needs 11 meta .*'class 0', but it has 10"):
        make(UNEVEN, 3, num_meta=35)
    with pytest.raises(UserError, match=r"--num_meta=3 .* 4 classes .*--num_meta=4 or more"):
        make(num_meta=3)
    with pytest.raises(UserError, match="no unlabelled image is left"):
        make(num_labels=192)
    with pytest.raises(UserError, match="no unlabelled image is left"):
        make(num_labels=12, train_examples=12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_meta": 200}, "'class 0' is left: --num_meta=200 uses all of its images, 50"),
        ({"num_labels": 3}, r"--num_labels=3 gives the class 'class \d' no .*--num_labels=4 or"),
        ({"num_labels": 0}, r"--num_labels=0 gives the class 'class \d' no labelled image"),
        ({"train_examples": 3}, r"--train_examples=3 gives the class .*--train_examples=4 or more"),
    ],
)
def test_a_class_without_a_labelled_image_is_named(options, message):
    with pytest.raises(UserError, match=message):
        make(**options)


def test_meta_images_that_are_trained_on_are_labelled_images_of_their_class():
    assert counts(make(num_meta=200, meta_source="train").labelled) == [50] * 4


def test_rows_with_a_label_outside_the_classes_are_left_out():
    labels = np.concatenate([LABELS, [-1, 4]])
    assert len(make(labels).labelled) == 192


def test_named_splits_hold_positions_or_the_ids_of_the_data_set():
    parts = make(num_labels=12)
    assert parts.named() == {
        "labelled": parts.labelled.tolist(),
        "unlabelled": parts.unlabelled.tolist(),
        "meta": parts.meta.tolist(),
    }
    named = parts.named([f"train_{i}" for i in range(200)])
    assert named["meta"] == [f"train_{i}" for i in parts.meta]
