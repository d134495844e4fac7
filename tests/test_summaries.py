import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tf_metamixup.summaries import Summaries, class_pair_image

ENTRY = {"epoch": 1, "train_loss": 0.5, "test_error": 12.5, "threshold": 0.9, "accepted": None}
PAIRS = np.array([[1.0, 0.0], [3.0, 0.0]]), np.array([[2, 0], [4, 1]])


@pytest.fixture
def events(tmp_path):
    summaries = Summaries(tmp_path)
    summaries.configuration({"policy": "meta", "flip": None, "epochs": 3})
    rows = np.array([[0.2, 0.4, -1, 0, 1, 1], [0.9, 0.8, 1, 1, 0, 1], [0.5, 0.5, 0, 0, 0, 0]])
    summaries.interval(10, {"losses/interval": 0.7, "monitors/learning_rate": 0.1}, rows)
    summaries.epoch(20, ENTRY, PAIRS)
    accumulator = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    accumulator.Reload()
    return accumulator


def value(events, tag):
    (event,) = events.Tensors(tag)
    return event.step, tf.make_ndarray(event.tensor_proto)


def test_scalars_of_an_epoch_stand_under_the_names_people_look_for(events):
    assert value(events, "error/test") == (20, 12.5)
    assert value(events, "losses/train") == (20, 0.5)
    assert value(events, "epoch/threshold")[1] == pytest.approx(0.9)


def test_what_was_not_measured_is_not_shown(events):
    assert "epoch/accepted" not in events.Tags()["tensors"]


def test_scalars_and_lambda_histograms_of_an_interval(events):
    assert value(events, "losses/interval") == (10, pytest.approx(0.7))
    for tag, mean in (("lambda/before", 0.6), ("lambda/after", 0.55), ("lambda/move", 0.0)):
        step, buckets = value(events, tag)
        assert step == 10
        assert buckets[:, 2].sum() == 2  # the rejected row is left out
        assert np.average(buckets[:, :2].mean(axis=1), weights=buckets[:, 2]) == pytest.approx(
            mean, abs=0.02
        )


def test_configuration_stands_as_text_and_as_hparams(events):
    assert b'"policy": "meta"' in value(events, "configuration")[1].item()
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_class_pairs_are_an_image(events):
    _, (width, height, png) = value(events, "lambda/by_class_pair")
    assert (int(width), int(height)) == (400, 400)
    image = tf.io.decode_png(png).numpy()
    np.testing.assert_array_equal(image, class_pair_image(*PAIRS))


def test_class_pair_image_is_grey_for_the_mean_and_red_where_no_pair_is():
    image = class_pair_image(*PAIRS)
    corners = image[[0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_array_equal(corners, [[128] * 3, [178, 24, 43], [191] * 3, [0] * 3])
