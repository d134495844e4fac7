import dataclasses

import numpy as np
import pytest

from tests.data.test_prepare import own, prepared
from tf_metamixup import data
from tf_metamixup.config import Config
from tf_metamixup.core.errors import UserError


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


def test_the_labels_that_an_audit_judges_stand_in_the_order_of_the_splits(digits):
    settings = {"num_meta": 100, "label_noise": "symmetric(0.4)", "trusted_share": 0.2}
    made = data.streams(digits, 50, audits="apart", **settings)
    places, wrong = made["splits"]["labelled"], dict(made["splits"]["relabelled"])
    given = [wrong.get(place, digits.train.labels[place]) for place in places]
    assert made["labelled"].labels[: len(places)].numpy().tolist() == given
