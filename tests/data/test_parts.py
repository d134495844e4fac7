import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.data.test_prepare import coloured, first, own, prepared
from tf_metamixup import data
from tf_metamixup.core.errors import UserError
from tf_metamixup.data.images import UNLABELLED


def colours(source, positions):
    return {tuple(source.train.images[i, 0, 0].tolist()) for i in positions}


def test_an_unclean_pool_holds_images_of_classes_that_nothing_else_has(digits):
    six = digits.labelling(6)
    assert six.classes == digits.classes[:6] and six.contents == digits.contents
    settings = {"mode": "ssl", "num_labels": 60, "num_meta": 30, "batch_size": 30}
    made = prepared(six, **settings)
    labels = digits.train.labels
    for part in (made.splits.labelled, made.splits.meta):
        assert set(labels[part]) == set(range(6))
    assert len(made.splits.unlabelled) == len(labels) - 90
    assert set(labels[made.splits.unlabelled]) == set(range(10))
    assert set(np.concatenate([y for _, y in made.test])) == set(range(6))
    capped = prepared(six, train_examples=240, **settings)
    inside = labels[capped.splits.unlabelled] < 6
    assert (inside.sum(), (~inside).sum()) == (180, 120)
    with pytest.raises(UserError, match="fewer than the 10 classes of digits"):
        digits.labelling(10)


def test_an_unclean_pool_keeps_images_that_have_no_label(digits):
    labels = digits.train.labels.copy()
    unlabelled = np.flatnonzero(labels < 6)[::2]
    labels[unlabelled] = UNLABELLED
    train = dataclasses.replace(digits.train, labels=labels)
    source = dataclasses.replace(digits, train=train).labelling(6)
    pool = prepared(source, mode="ssl", num_meta=30, batch_size=30).splits.unlabelled
    assert set(pool) == {*unlabelled, *source.outside}


def test_unused_images_are_in_no_part_of_the_run(digits):
    made = prepared(digits, train_examples=300, num_meta=30, batch_size=50, evaluate_on="unused")
    used = {digits.train.images[i].tobytes() for i in (*made.splits.labelled, *made.splits.meta)}
    evaluated = np.concatenate([x for x, _ in made.test.as_numpy_iterator()])
    assert len(evaluated) == len(digits.test)
    assert not used & {image.tobytes() for image in evaluated}


def test_without_an_unused_image_there_is_nothing_to_choose_by(digits):
    with pytest.raises(UserError, match="no training image is unused"):
        prepared(digits, evaluate_on="unused", batch_size=50)


def test_a_batch_larger_than_the_data_is_reported(digits):
    with pytest.raises(UserError, match=r"--batch_size=50 .* 20 labelled .*--train_examples=20\)"):
        prepared(digits, batch_size=50, train_examples=20)
    with pytest.raises(UserError, match=r"--batch_size=50 .* 20 labelled .*--num_labels=20\)"):
        prepared(digits, mode="ssl", batch_size=50, num_labels=20)
    with pytest.raises(UserError, match=r"--batch_size=200 is larger than the 137 unlabelled"):
        prepared(digits, mode="ssl", batch_size=200, num_labels=1200)


@pytest.mark.filterwarnings("ignore:the meta set is not balanced")
def test_with_unlabelled_images_all_others_are_labelled(own_folder):
    made, names = own(own_folder, mode="ssl")
    assert len(names["labelled"]) == 36
    assert names["unlabelled"] == [
        *("unlabelled/0.png", "unlabelled/2.png", "unlabelled/deep/er/1.png")
    ]
    assert first(made.unlabelled)[1].numpy().tolist() == [-1, -1]
    assert made.epoch_steps == 1
    _, names = own(own_folder, mode="ssl", include_labelled=True)
    assert set(names["labelled"]) < set(names["unlabelled"])
    with pytest.raises(UserError, match=r"--num_labels=4 hides labels.* has 3 of them"):
        own(own_folder, mode="ssl", num_labels=4)


@pytest.mark.filterwarnings("ignore:--mode=sl")
def test_an_unbalanced_folder_gives_an_unbalanced_meta_set(own_folder):
    shutil.rmtree(own_folder / "trusted")
    with pytest.warns(UserWarning, match="has 6 images per class, but fewer .*: blue 3"):
        made, names = own(own_folder, num_meta=12)
    assert sum(name.startswith("blue") for name in names["meta"]) == 3
    assert len(names["meta"]) == 9
    assert len(made.splits.labelled) == 36 - 9


@pytest.mark.filterwarnings("ignore:--mode=sl")
def test_a_share_of_each_class_is_held_out_by_name_and_seed(own_folder):
    shutil.rmtree(own_folder / "val")
    shutil.rmtree(own_folder / "test")
    shares = {"val_fraction": 0.2, "test_fraction": 0.34}
    made, names = own(own_folder, **shares)
    parts = [names[part] for part in ("labelled", "val", "test")]
    assert [sum(n.startswith("red") for n in part) for part in parts] == [16, 4, 10]
    assert [sum(n.startswith("blue") for n in part) for part in parts] == [3, 1, 2]
    assert len({name for part in parts for name in part}) == 36
    assert sum(len(y) for _, y in made.validation) == 5
    assert sum(len(y) for _, y in made.test) == 12
    assert own(own_folder, **shares)[1] == names
    assert own(own_folder, **shares, seed=1)[1]["test"] != names["test"]
    # One more image takes the place of one other at most.
    Image.new("RGB", (5, 6), "red").save(own_folder / "train" / "red" / "-first.png")
    assert len({*own(own_folder, **shares)[1]["test"]} - {*names["test"]}) <= 1


@pytest.mark.filterwarnings("ignore:--mode=sl")
def test_without_val_and_test_a_tenth_is_held_out_and_told(own_folder):
    assert own(own_folder)[0].test is not None
    shutil.rmtree(own_folder / "test")
    assert sum(len(y) for _, y in own(own_folder)[0].validation) == 2
    shutil.rmtree(own_folder / "val")
    with pytest.warns(UserWarning, match=r"no test images: --val_fraction=0.1 splits 4 images"):
        made, names = own(own_folder)
    assert made.test is None
    assert made.evaluated is made.validation
    assert len(names["val"]) == 4
    with pytest.raises(UserError, match=r"--val_fraction=0.7 and --test_fraction=0.4 leave"):
        own(own_folder, val_fraction=0.7, test_fraction=0.4)


@pytest.mark.filterwarnings("ignore:--mode=sl")
def test_no_share_is_taken_where_there_is_a_part_already(own_folder):
    with pytest.raises(UserError, match=r"--test_fraction=0.2 splits test images .* has some"):
        own(own_folder, test_fraction=0.2)


def test_a_long_tail_is_cut_out_of_what_is_trained_on_alone(digits):
    settings = {"num_meta": 100, "batch_size": 20}
    whole = prepared(digits, **settings)
    made = prepared(digits, imbalance=10.0, **settings)
    sizes = np.bincount(digits.train.labels[made.splits.labelled])
    most = np.bincount(digits.train.labels[whole.splits.labelled]).max()
    expected = np.round(most * 10.0 ** (-np.arange(10) / 9))
    assert (sizes <= expected).all() and (sizes[1:] == expected[1:]).all()
    np.testing.assert_array_equal(made.splits.meta, whole.splits.meta)
    both = np.union1d(made.splits.labelled, made.splits.left_out)
    np.testing.assert_array_equal(both, whole.splits.labelled)
    assert len(made.named(None)["left_out"]) == len(whole.splits.labelled) - sizes.sum()
    kept = prepared(digits, imbalance=10.0, meta_source="train", **settings)
    assert np.isin(kept.splits.meta, kept.splits.labelled).all()


def test_a_method_that_guesses_nothing_needs_no_unlabelled_batch(digits):
    settings = {"mode": "ssl", "num_labels": 1360, "num_meta": 10, "batch_size": 100}
    assert prepared(digits, views=0, **settings).unlabelled is None
    with pytest.raises(UserError, match="larger than the 67 unlabelled images"):
        prepared(digits, views=1, **settings)


def test_where_no_class_has_an_image_to_spare_no_error_is_measured(tmp_path):
    for label in ("a", "b"):
        (tmp_path / "train" / label).mkdir(parents=True)
        image = Image.new("RGB", (8, 8), "red" if label == "a" else "blue")
        image.save(tmp_path / "train" / label / "0.png")
    source = data.folder(tmp_path)
    with pytest.warns(UserWarning, match="finds no class with at least two images, so no error"):
        made = prepared(source, dataset=source.name)
    assert made.labelled.batch_size == 2


@pytest.mark.parametrize("seed", range(4))
def test_copies_of_an_image_are_trained_on_or_held_out_together(tmp_path, seed):
    for label in ("a", "b"):
        for n in range(24):
            path = tmp_path / "train" / label / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (n // 3, ord(label), 0)).save(path)  # each three times
    source = data.folder(tmp_path)
    parts = prepared(source, dataset=source.name, val_fraction=0.2, seed=seed).splits
    held = {source.contents[f"train/{source.train.ids[i]}"] for i in parts.val}
    trained = {source.contents[f"train/{source.train.ids[i]}"] for i in parts.labelled}
    assert len(parts.val) == 12 and not held & trained  # 5 of 24 are asked for, and 6 taken


def test_a_class_that_is_copies_of_one_image_is_divided_all_the_same(tmp_path):
    for label in ("a", "b"):
        for n in range(10):
            path = tmp_path / "train" / label / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), "red" if label == "a" else (0, 0, n)).save(path)
    source = data.folder(tmp_path)
    parts = prepared(source, dataset=source.name, val_fraction=0.2).splits
    assert np.bincount(source.train.labels[parts.labelled]).tolist() == [8, 8]


@pytest.mark.filterwarnings("ignore:.*has two images of the same")
@pytest.mark.parametrize("settings", [{}, {"meta_source": "heldout"}])
def test_training_images_that_were_checked_are_not_trained_on_as_they_were(tmp_path, settings):
    for label in ("a", "b"):
        coloured(tmp_path, "train", label, range(20))
        coloured(tmp_path, "trusted", label, range(10), copy=1)
    # One was of the other class before it was checked.
    (tmp_path / "train" / "a" / "0-0.png").rename(tmp_path / "train" / "b" / "a.png")
    source = data.folder(tmp_path)
    with pytest.warns(UserWarning, match="20 images left out of training: copies of checked"):
        made = prepared(source, dataset=source.name, val_fraction=0.2, **settings)
    parts = made.splits
    assert parts.meta.tolist() == source.trusted.tolist()
    # The copies tell what the checked images were taken for.
    assert source.given.tolist() == [1] + [0] * 9 + [1] * 10
    assert not colours(source, parts.val) & colours(source, [*parts.meta, *parts.labelled])
    trained_on = np.setdiff1d(parts.labelled, parts.meta)
    assert len(trained_on) == 16 and not colours(source, trained_on) & colours(source, parts.meta)


@pytest.mark.parametrize(
    "settings", [{"meta_source": "heldout", "num_meta": 10}, {"evaluate_on": "unused"}]
)
def test_copies_of_an_image_that_judges_are_not_trained_on(tmp_path, settings):
    for label in ("a", "b"):
        for copy in range(2):
            coloured(tmp_path, "train", label, range(20), copy)
    source = data.folder(tmp_path)
    settings = {"train_examples": 20, "val_fraction": 0.1, "batch_size": 4, **settings}
    made = prepared(source, dataset=source.name, **settings)
    parts, judges = made.splits, [*made.splits.val]
    if settings.get("meta_source") == "heldout":
        judges += [*made.splits.meta]
    assert not colours(source, parts.labelled) & colours(source, judges)
    if "evaluate_on" in settings:
        used = colours(source, [*parts.labelled, *parts.val])
        unused = {tuple(x[0, 0].tolist()) for batch, _ in made.test for x in batch.numpy()}
        assert unused and not unused & used


@pytest.mark.parametrize("settings", [{}, {"val_fraction": 0.1}])
def test_unused_images_of_ones_own_take_the_place_of_test_images(tmp_path, settings, recwarn):
    for label in ("a", "b"):
        coloured(tmp_path, "train", label, range(20))
    settings = {"train_examples": 10, "batch_size": 4, "evaluate_on": "unused", **settings}
    made = prepared(data.folder(tmp_path), dataset=f"folder:{tmp_path}", **settings)
    held = 4 if "val_fraction" in settings else 0
    assert len(made.splits.val) == held
    unused = 40 - held - len(made.splits.labelled)
    assert sum(len(labels) for _, labels in made.test) == unused == 26 - held
    assert not [each for each in recwarn if "validation error" in str(each.message)]


def test_unlabelled_copies_of_validation_images_are_not_trained_on(tmp_path):
    for label in ("a", "b"):
        coloured(tmp_path, "train", label, range(20))
        coloured(tmp_path, "unlabelled", label, range(30))
    source = data.folder(tmp_path)
    made = prepared(source, dataset=source.name, mode="ssl", val_fraction=0.2)
    parts = made.splits
    assert len(parts.unlabelled) == 60 - 8
    assert not colours(source, parts.unlabelled) & colours(source, parts.val)


def test_a_class_of_one_image_that_no_split_evaluates_is_named(tmp_path):
    for label, count in (("a", 10), ("b", 10), ("rare", 1)):
        coloured(tmp_path, "train", label, range(count))
    source = data.folder(tmp_path)
    with pytest.warns(UserWarning, match=r"no val image is split off .*\(rare\), so their error"):
        prepared(source, dataset=source.name, val_fraction=0.2)
