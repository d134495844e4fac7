import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from tf_metamixup.core.metrics import Evaluation
from tf_metamixup.runs import tensorboard_images as images
from tf_metamixup.runs.tensorboard import TAGS, Summaries
from tf_metamixup.training.step import Sample

ENTRY = {
    **{"epoch": 1, "train_loss": 0.5, "test_error": 12.5, "threshold": 0.9, "accepted": None},
    "meta_gradient_cosine": 0.25,
}
PAIRS = np.array([[1.0, 0.0], [3.0, 0.0]]), np.array([[2, 0], [4, 1]])
BINS = np.array([[0, 0, 0], [4, 3.2, 3.0]])
EVALUATION = Evaluation(np.array([[2, 1], [0, 1]]), BINS, np.array(1.0), np.array(4.0))
ROWS = Sample(
    *(
        np.zeros((2, 4, 4, 1)),
        np.ones((2, 4, 4, 1)),
        np.full((2, 4, 4, 1), 0.5),
        np.eye(2),
        np.eye(2)[::-1],
    ),
    *(np.array([0.25, 0.5]), np.array([True, False]), np.array([False, True])),
)


@pytest.fixture
def events(tmp_path):
    summaries = Summaries(tmp_path, ["a", "b"])
    summaries.configuration({"policy": "meta", "flip": None, "epochs": 3})
    rows = np.array([[0.2, 0.4, -1, 0, 1, 1], [0.9, 0.8, 1, 1, 0, 1], [0.5, 0.5, 0, 0, 0, 0]])
    summaries.interval(10, {"losses/interval": 0.7, "monitors/learning_rate": 0.1}, rows)
    summaries.epoch(20, ENTRY)
    summaries.pictures(20, PAIRS, EVALUATION, (ROWS, np.array([[0.9, 0.1], [0.4, 0.6]])))
    return read(tmp_path)


def read(folder):
    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    accumulator.Reload()
    return accumulator


def value(events, tag):
    (event,) = events.Tensors(tag)
    return event.step, tf.make_ndarray(event.tensor_proto)


def test_scalars_of_an_epoch_stand_under_the_names_people_look_for(events):
    assert value(events, "error/test") == (20, 12.5)
    assert value(events, "losses/train") == (20, 0.5)
    assert value(events, "monitors_by_epoch/threshold")[1] == pytest.approx(0.9)


def test_the_cosine_of_gradients_says_of_what_it_is(events):
    assert value(events, "lambda/meta_gradient_cosine") == (20, 0.25)
    described = events.SummaryMetadata("lambda/meta_gradient_cosine").summary_description
    assert "every other meta image" in described and "whole meta set (cached)" in described


def test_what_was_not_measured_is_not_shown(events):
    assert "monitors_by_epoch/accepted" not in events.Tags()["tensors"]


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


def test_the_layout_asks_for_tags_that_are_written(events):
    (layout,) = custom_scalar_layouts(events)
    charts = [chart for category in layout.category for chart in category.chart]
    asked = [tag for chart in charts for tag in chart.multiline.tag]
    assert "error/test$" in asked and "error/test_ece$" in asked
    own = {*TAGS.values(), "monitors/learning_rate", "monitors/images_per_second"}
    reported = {"monitors/threshold", "monitors/accepted", "monitors/pseudo_label_error"}
    assert {tag.removesuffix("$") for tag in asked} <= own | reported


def custom_scalar_layouts(events):
    for event in events.Tensors("custom_scalars__config__"):
        yield layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])


def test_runs_are_compared_by_their_test_error(events):
    content = events.summary_metadata["_hparams_/experiment"].plugin_data.content
    experiment = HParamsPluginData.FromString(content).experiment
    judged = [metric.name.tag for metric in experiment.metric_infos]
    assert judged == ["error/test", "error/test_ece"]
    first = {info.name: info.differs for info in experiment.hparam_infos}
    assert first == {"policy": True, "flip": False, "epochs": False}


def test_the_pictures_stand_under_their_tags(events):
    for tag in ("lambda/by_class_pair", "lambda/mixed_rows"):
        step, (width, height, png) = value(events, tag)
        assert step == 20
        image = tf.io.decode_png(png).numpy()
        assert image.shape == (int(height), int(width), 3) and image.std() > 10
    _, (_, _, png) = value(events, "evaluation/reliability")
    expected = images.reliability(EVALUATION.bins, EVALUATION.ece)
    np.testing.assert_array_equal(tf.io.decode_png(png).numpy(), expected)


def test_what_is_not_there_is_not_drawn(tmp_path):
    summaries = Summaries(tmp_path, ["a", "b"])
    summaries.pictures(3, (np.zeros((2, 2)), np.zeros((2, 2), int)), None, None)
    assert not read(tmp_path).Tags()["tensors"]


def test_a_picture_that_cannot_be_drawn_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "confusion", lambda *_: 1 / 0)
    summaries = Summaries(tmp_path, ["a", "b"])
    with pytest.warns(UserWarning, match="pictures were not drawn: ZeroDivisionError"):
        summaries.pictures(3, PAIRS, EVALUATION, None)
