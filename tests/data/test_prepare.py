import dataclasses
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tf_metamixup as tmm
from tf_metamixup import data
from tf_metamixup.config import Config
from tf_metamixup.config.defaults import own_batch
from tf_metamixup.core.errors import UserError
from tf_metamixup.data.images import UNLABELLED


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def prepared(source, views=1, strong_views=0, **settings):
    config = Config(**settings).resolve()
    config = config.resolve(data=source.info)
    return data.prepare(source, config, views, strong_views=strong_views)


def first(stream):
    return next(iter(stream.shards(0, range(1), 1)))


def test_supervised_takes_everything_but_the_meta_set(digits):
    made = prepared(digits, batch_size=50)
    assert len(made.splits.meta) == 100
    assert len(made.splits.labelled) == len(digits.train.labels) - 100
    assert made.unlabelled is None
    assert made.epoch_steps == len(made.splits.labelled) // 50


def test_an_epoch_of_ssl_is_a_pass_over_the_unlabelled_images_for_every_method(digits):
    for method in ("supervised", "pseudo_label"):
        made = prepared(digits, mode="ssl", method=method, batch_size=50)
        assert len(made.splits.labelled) == 100
        assert made.epoch_steps == len(made.splits.unlabelled) // 50


def test_a_batch_may_have_more_unlabelled_images_than_labelled_ones(digits):
    made = prepared(digits, mode="ssl", batch_size=20, unlabelled_ratio=3)
    assert [len(first(each)[1]) for each in (made.labelled, made.unlabelled)] == [20, 60]
    assert made.epoch_steps == len(made.splits.unlabelled) // 60
    with pytest.raises(UserError, match="--batch_size=100 with --unlabelled_ratio=20 is larger"):
        prepared(digits, mode="ssl", batch_size=100, unlabelled_ratio=20)


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


def test_a_meta_set_smaller_than_the_batch_is_read_whole(digits):
    made = prepared(digits, num_meta=30, batch_size=50)
    images, *_ = first(made.meta)
    assert images.shape[0] == 30


def test_meta_images_are_not_augmented(digits):
    made = prepared(digits, shift=2, num_meta=30)
    images, labels = first(made.meta)
    stored = {(digits.train.images[i].tobytes(), digits.train.labels[i]) for i in made.splits.meta}
    for image, label in zip(images.numpy(), labels.numpy(), strict=True):
        assert (image.tobytes(), label) in stored


def test_weak_views_stay_weak_where_others_are_strong(digits):
    def changed(views, strong_views, **settings):
        """Which views of unlabelled images are not as stored, and whether labelled ones are."""
        made = prepared(digits, views, strong_views, mode="ssl", **({"shift": 0} | settings))
        stored = {image.tobytes() for image in digits.train.images}
        (u, _), (x, _) = first(made.unlabelled), first(made.labelled)
        *unlabelled, labelled = (
            any(each.numpy().tobytes() not in stored for each in images)
            for images in (*tf.unstack(u, views, axis=1), x)
        )
        return unlabelled, labelled

    assert changed(2, 1) == ([False, True], False)
    assert changed(2, 1, augment="none") == ([False, True], False)
    assert changed(2, 1, augment="randaugment") == ([False, True], True)
    assert changed(2, 0, augment="randaugment") == ([True, True], True)


def test_unused_images_are_in_no_part_of_the_run(digits):
    made = prepared(digits, train_examples=300, num_meta=30, batch_size=50, evaluate_on="unused")
    used = {digits.train.images[i].tobytes() for i in (*made.splits.labelled, *made.splits.meta)}
    evaluated = np.concatenate([x for x, _ in made.test.as_numpy_iterator()])
    assert len(evaluated) == len(digits.test)
    assert not used & {image.tobytes() for image in evaluated}


def test_without_an_unused_image_there_is_nothing_to_choose_by(digits):
    with pytest.raises(UserError, match="no training image is unused"):
        prepared(digits, evaluate_on="unused", batch_size=50)


def test_labels_used_counts_the_meta_set_where_it_is_read(digits):
    made = prepared(digits, mode="ssl", batch_size=50)
    assert made.labels_used(reads_meta=False) == 100
    assert made.labels_used(reads_meta=True) == 200


def test_meta_images_that_are_trained_on_count_once(digits):
    made = prepared(digits, mode="ssl", batch_size=50, meta_source="train")
    assert made.labels_used(reads_meta=False) == made.labels_used(reads_meta=True) == 200


def test_no_more_test_images_are_looked_at_than_trained_on_in_between(digits):
    assert prepared(digits, batch_size=50).evaluate_every == 1
    made = prepared(digits, batch_size=20, train_examples=100)
    assert made.evaluate_every == -(-len(digits.test) // 100)


def test_a_batch_larger_than_the_data_is_reported(digits):
    with pytest.raises(UserError, match=r"--batch_size=50 .* 20 labelled .*--train_examples=20\)"):
        prepared(digits, batch_size=50, train_examples=20)
    with pytest.raises(UserError, match=r"--batch_size=50 .* 20 labelled .*--num_labels=20\)"):
        prepared(digits, mode="ssl", batch_size=50, num_labels=20)
    with pytest.raises(UserError, match=r"--batch_size=200 is larger than the 137 unlabelled"):
        prepared(digits, mode="ssl", batch_size=200, num_labels=1200)


def test_scale_brings_stored_images_to_minus_one_to_one():
    scaled = data.scale(tf.constant([0, 255], tf.uint8))
    np.testing.assert_allclose(scaled, [-1, 1])


@pytest.mark.filterwarnings("ignore:--mode=sl")
def test_short_epochs_of_images_of_ones_own_are_not_all_evaluated(own_folder):
    made, _ = own(own_folder)
    assert made.epoch_steps * made.evaluate_every in range(100, 100 + made.epoch_steps)


def own(folder, **settings):
    source = data.load(f"folder:{folder}")
    made = prepared(
        source, dataset=source.name, **{"batch_size": 2, "meta_source": "heldout"} | settings
    )
    return made, made.splits.named(source.train.ids)


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


def test_supervised_training_says_that_it_ignores_the_unlabelled(own_folder):
    with pytest.warns(UserWarning, match="--mode=sl ignores the 3 unlabelled images"):
        made, _ = own(own_folder)
    assert (len(made.splits.unlabelled), made.unlabelled) == (0, None)


@pytest.mark.filterwarnings("ignore:--mode=sl")
def test_images_with_checked_labels_are_the_meta_set(own_folder):
    trusted = ["trusted/blue/trusted.png", "trusted/red/trusted.png"]
    _, names = own(own_folder)
    assert names["meta"] == trusted
    assert not {*names["labelled"]} & {*trusted}
    made, names = own(own_folder, meta_source="train")
    assert names["meta"] == trusted
    assert names["labelled"][-2:] == trusted
    assert made.labelled.untrusted.tolist() == [True] * 36 + [False] * 2
    assert made.labels_used(reads_meta=True) == 38
    with pytest.raises(UserError, match=r"--num_meta=4 .*the 2 images with checked labels"):
        own(own_folder, num_meta=4)


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


def test_streams_are_what_a_trainer_fits(own_folder, tmp_path):
    photos = data.folder(own_folder)
    parts = data.streams(photos, 2, views=0, seed=3)
    trainer = tmm.Trainer(flat(photos.image_shape), policy="meta", preprocess=data.scale)
    run = {"steps": 2, "run_dir": tmp_path / "run"}
    result = trainer.fit(**parts, **run)
    assert result["val_error"] is not None and result["test_error"] is not None
    assert result["data"] == photos.fingerprint
    assert result["config"]["dataset"] == f"folder:{own_folder}"
    (own_folder / "val" / "red" / "val.png").unlink()
    (own_folder / "val" / "red" / "other.png").write_bytes(
        (own_folder / "val" / "blue" / "val.png").read_bytes()
    )
    changed = data.streams(data.folder(own_folder), 2, views=0, seed=3)
    trainer = tmm.Trainer(flat(photos.image_shape), policy="meta", preprocess=data.scale)
    with pytest.raises(UserError, match=r"1 added \(val/red/other.png\), 1 removed"):
        trainer.fit(**changed, **run)


def flat(shape):
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(2)]
    return keras.Sequential(layers)


@pytest.mark.filterwarnings("ignore:--mode=sl")
def test_a_balanced_stream_shows_each_class_as_often(own_folder):
    counts = {}
    for balance in ("none", "sqrt", "equal"):
        made, _ = own(own_folder, balance=balance)
        batches = made.labelled.shards(0, range(1), 1).take(30).as_numpy_iterator()
        counts[balance] = np.bincount(np.concatenate([y for _, y in batches])[:60]).tolist()
        assert made.epoch_steps == 36 // 2
    # Of 6 blue and 30 red images; a pass of "equal" is these 60.
    assert counts["none"][0] < counts["sqrt"][0] < counts["equal"][0] == 30


def test_noise_is_in_the_labels_that_are_trained_on_and_in_no_others(digits):
    made = prepared(digits, num_meta=100, batch_size=50, label_noise="symmetric(0.4)")
    truth = digits.train.labels
    _, given = made.labelled.whole()
    assert abs((given != truth[made.splits.labelled]).numpy().mean() - 0.4) < 0.05
    _, checked = made.meta.whole()
    np.testing.assert_array_equal(checked, truth[made.splits.meta])


def test_a_share_of_each_batch_is_trusted(digits):
    settings = {"num_meta": 100, "batch_size": 50, "label_noise": "symmetric(0.4)"}
    made = prepared(digits, trusted_share=0.2, **settings)
    assert made.audited is None
    images, labels = made.labelled.whole()
    assert len(images) == len(made.splits.labelled) + 100
    np.testing.assert_array_equal(labels[-100:], digits.train.labels[made.splits.meta])
    assert made.labels_used(reads_meta=False) == len(images)


def test_an_audit_takes_a_quarter_of_the_trusted_images_of_each_class_and_knows_their_noise(digits):
    settings = {"num_meta": 200, "batch_size": 50, "label_noise": "symmetric(0.4)"}
    config = Config(trusted_share=0.2, **settings).resolve().resolve(data=digits.info)
    made = data.prepare(digits, config, 0, audits="apart")
    assert np.bincount(made.audited.labels).tolist() == [5] * 10
    assert 0.2 < (made.audited.given != made.audited.labels).mean() < 0.6
    trained = {image.tobytes() for image in made.labelled.whole()[0].numpy()[-150:]}
    assert not trained & {image.tobytes() for image in made.audited.images}


@pytest.mark.parametrize(("share", "groups", "rows"), [(0.99, 1, 50), (0.05, 10, 0)])
def test_a_share_that_leaves_one_kind_of_image_no_rows_is_refused(digits, share, groups, rows):
    settings = {"trusted_share": share, "row_groups": groups, "num_meta": 200, "batch_size": 50}
    with pytest.raises(UserError, match=f"makes {rows} of the 50 rows"):
        prepared(digits, **settings)


def test_fewer_trusted_images_than_a_batch_takes_are_refused(digits):
    settings = {"method": "audit", "trusted_share": 0.5, "num_meta": 20, "batch_size": 50}
    config = Config(**settings).resolve().resolve(data=digits.info)
    says = "takes 25 trusted images for a batch of 50, but there are 15 to train on besides 5 that"
    with pytest.raises(UserError, match=f"--trusted_share=0.5 {says} are audited; lower it"):
        data.prepare(digits, config, 0, audits="apart")


def test_a_shift_that_is_no_less_than_the_image_is_refused(digits):
    with pytest.raises(UserError, match=r"--shift=8 must be less than the sides .*, 8x8"):
        prepared(digits, shift=8, batch_size=50)


@pytest.mark.parametrize("trusted_share", [None, 0.2])
def test_row_groups_make_the_batches_of_as_many_replicas(digits, trusted_share):
    settings = {"num_meta": 100, "batch_size": 20, "trusted_share": trusted_share}
    whole = first(prepared(digits, row_groups=2, **settings).labelled)
    shards = prepared(digits, replicas=2, row_groups=2, **settings).labelled
    parts = [next(iter(shards.shards(0, range(n, n + 1), 2))) for n in range(2)]
    for one, both in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(one, np.concatenate(both))


@pytest.mark.parametrize(("audits", "count"), [("apart", 50), ("all", 200)])
def test_streams_hold_the_checked_images_of_a_method_that_needs_some(digits, audits, count):
    made = data.streams(digits, 50, num_meta=200, trusted_share=0.2, audits=audits)
    assert len(made["audited"].labels) == count
    assert data.streams(digits, 50, num_meta=200)["audited"] is None


def test_an_audit_by_images_that_are_trained_on_is_refused(digits):
    config = Config(method="audit", meta_source="train").resolve().resolve(data=digits.info)
    with pytest.raises(UserError, match=r"--trusted_share=0.2.* or --meta_source=heldout"):
        data.prepare(digits, config, 0, audits="apart")


def test_gold_loss_correction_is_estimated_from_all_trusted_images_and_trains_on_them(digits):
    config = Config(trusted_share=0.2, num_meta=100, batch_size=50).resolve()
    made = data.prepare(digits, config.resolve(data=digits.info), 0, audits="all")
    assert len(made.audited.labels) == 100
    np.testing.assert_array_equal(made.labelled.whole()[0][-100:], made.audited.images)


def test_noise_never_reaches_trusted_images_that_are_trained_on_beside_the_others(digits):
    settings = {"meta_source": "train", "num_meta": 100, "batch_size": 50}
    made = prepared(digits, label_noise="symmetric(1.0)", **settings)
    wrong = made.labelled.whole()[1] != digits.train.labels[made.splits.labelled]
    checked = np.isin(made.splits.labelled, made.splits.meta)
    np.testing.assert_array_equal(wrong, ~checked)
    np.testing.assert_array_equal(made.labelled.untrusted, ~checked)


def test_what_checked_images_were_given_may_be_unknown(digits):
    checked = dataclasses.replace(digits, trusted=np.arange(80))
    made = data.streams(checked, 50, trusted_share=0.2, audits="apart")
    assert len(made["audited"].labels) == 20 and made["audited"].given is None


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


def test_images_that_were_relabelled_are_named_with_their_label(digits):
    made = prepared(digits, label_noise="symmetric(0.3)", num_meta=100, batch_size=20)
    named = made.named([f"image_{k}" for k in range(len(digits.train))])["relabelled"]
    given = dict(zip(made.splits.labelled.tolist(), made.labelled.whole()[1].numpy(), strict=True))
    assert 0.2 < len(named) / len(given) < 0.4
    for name, label in named:
        place = int(name.removeprefix("image_"))
        assert given[place] == label != digits.train.labels[place]
    assert "relabelled" not in prepared(digits, num_meta=100, batch_size=20).named(None)


def test_a_setting_that_streams_do_not_take_is_refused(digits):
    with pytest.raises(UserError, match=r"no setting 'num_mta' \(did you mean 'num_meta'\?\)"):
        data.streams(digits, 50, num_mta=3)
    with pytest.raises(UserError, match="no setting 'learning_rate'"):
        data.streams(digits, 50, learning_rate=0.1)


def test_streams_tell_the_settings_that_they_were_made_with(digits):
    made = data.streams(digits, 50, balance="equal", num_labels=None)
    told = made["data_settings"]
    assert (made["unlabelled"], told["batch_size"], told["balance"]) == (None, 50, "equal")
    assert told["flip"] is False and "seed" not in told
    assert data.streams(digits, 50, num_labels=100)["unlabelled"] is not None
    assert data.streams(digits, 50, mode="sl")["unlabelled"] is None


@pytest.mark.parametrize(
    ("images", "trusted", "settings"),
    [
        (149, 0, {}),
        (100, 300, {}),
        (100, 300, {"trusted_share": 0.2}),
        (100, 300, {"meta_source": "heldout"}),
        (400, 0, {"meta_source": "heldout"}),
        (300, 0, {"val_fraction": 0.25, "test_fraction": 0.25}),
        (300, 40, {"batch_size": 7}),
    ],
)
def test_a_run_on_own_images_takes_about_3000_steps_by_default(images, trusted, settings):
    labels = np.arange(images + trusted) % 2
    train = data.InMemory(np.zeros((len(labels), 8, 8, 1), np.uint8), labels)
    checked = np.arange(images, len(labels))
    test = None if "test_fraction" in settings else train
    source = data.Source("folder:x", ["a", "b"], (8, 8, 1), False, train, test, trusted=checked)
    config = Config(dataset=source.name, mode="sl", **settings).resolve(replicas=1)
    config = config.resolve(data=source.info)
    steps = config.epochs * data.prepare(source, config, 1).epoch_steps
    assert 2900 < steps < 3100


@pytest.mark.parametrize(
    ("images", "replicas", "rows"), [(2, 1, 2), (3, 1, 2), (7, 1, 3), (9, 2, 4)]
)
def test_a_default_batch_has_two_rows_to_mix_on_each_device(images, replicas, rows):
    assert own_batch(images // 2, replicas, gpus=False) == rows


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


def coloured(folder, part, label, numbers, copy=0):
    """Writes images of a class, each number with its own colour, into a part of a folder."""
    for n in numbers:
        path = folder / part / label / f"{n}-{copy}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (n, ord(label[0]), 0)).save(path)


def colours(source, positions):
    return {tuple(source.train.images[i, 0, 0].tolist()) for i in positions}


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


def first_labels(stream, step):
    return next(iter(stream.shards(step, range(1), 1)))[1].numpy()


def test_classes_are_balanced_by_the_labels_that_are_trained_on(tmp_path):
    for label in ("a", "b"):
        coloured(tmp_path, "train", label, range(100))
    source = data.folder(tmp_path)
    settings = {"label_noise": "symmetric(0.5)", "balance": "equal", "val_fraction": 0.1}
    settings |= {"batch_size": 4, "imbalance": 4}
    made = prepared(source, dataset=source.name, **settings)
    seen = [first_labels(made.labelled, step) for step in range(made.epoch_steps)]
    one, other = np.bincount(np.concatenate(seen))
    assert abs(one - other) <= 4  # less than a batch of each pass is left out
