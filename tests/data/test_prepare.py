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


def test_supervised_training_says_that_it_ignores_the_unlabelled(own_folder):
    with pytest.warns(UserWarning, match="--mode=sl ignores the 3 unlabelled images"):
        made, _ = own(own_folder)
    assert (len(made.splits.unlabelled), made.unlabelled) == (0, None)


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


def coloured(folder, part, label, numbers, copy=0):
    """Writes images of a class, each number with its own colour, into a part of a folder."""
    for n in numbers:
        path = folder / part / label / f"{n}-{copy}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (n, ord(label[0]), 0)).save(path)


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
