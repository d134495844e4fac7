import json

import numpy as np
import pytest

from tests import tiny
from tf_metamixup.core.metrics import Evaluation
from tf_metamixup.export import model_card

CLASSES = ["cat", "dog", "a|b"]
SETTINGS = {"method": "supervised", "policy": "meta"}
# Ten images; the three of the last class are taken for cats twice.
CONFUSION = np.array([[4, 0, 0], [1, 2, 0], [2, 0, 1]])
BINS = np.zeros((15, 3))
BINS[7] = 4, 2.0, 1
BINS[14] = 6, 5.7, 6
RESULT = {
    "status": "finished",
    "test_error": 30.0,
    "steps": 1200,
    "labels_used": 150,
    "config": SETTINGS | {"dataset": "pets", "architecture": "cnn3(width=2)", "seed": 4},
}
SPLITS = {"labelled": [0] * 100, "unlabelled": [0] * 2000, "meta": [0] * 50}
RUN = model_card.Records(
    RESULT, {"tensorflow": "2.21.0"}, SPLITS, Evaluation(CONFUSION, BINS, np.array(5.0), 10.0)
)
CHECK = {
    "bytes": 71104,
    "images": 1000,
    "same_class": 97.5,
    "largest_difference": 0.125,
    "error": 31.0,
    "saved_model_error": 30.5,
    "representative_images": 100,
}


def written(run=RUN, **more):
    about = {"classes": CLASSES, "image": "uint8 [N, 8, 8, 3]", "parameters": 1234}
    return model_card.markdown(SETTINGS, **about, averaged=None, run=run, **more)


@pytest.mark.parametrize(
    "line",
    [
        "# cnn3(width=2), trained on pets",
        "| policy | `meta` |",
        "| seed | `4` |",
        "| trained parameters | 1,234 |",
        "| labelled training images | 100 |",
        "| unlabelled images | 2,000 |",
        "| meta images | 50 |",
        "| steps taken | 1,200 (finished) |",
        # By hand: 3 of 10 images off the diagonal.
        "| test error | 30.00 % |",
        "| mean cross-entropy | 0.5000 |",
        # (|1 - 2.0| + |6 - 5.7|) / 10
        "| expected calibration error | 13.00 % |",
        "| 0.47 to 0.53 | 4 | 0.500 | 0.250 |",
        "| 0.93 to 1.00 | 6 | 0.950 | 1.000 |",
        r"| a\|b | cat | 2 | 66.7 % |",
        "| dog | cat | 1 | 33.3 % |",
        "tensorflow 2.21.0",
    ],
)
def test_a_card_tells_what_the_run_recorded(line):
    assert line in written().splitlines()


def test_a_card_tells_how_many_labels_were_read_and_the_command():
    text = written(command="python -m tf_metamixup.main --seed=4")
    assert "| labels used | 150 (" in text
    assert "```bash\npython -m tf_metamixup.main --seed=4\n```" in text
    assert "To repeat it" not in written()


def test_of_empty_bins_and_pairs_nothing_is_said():
    assert sum(" to 0." in line or " to 1." in line for line in written().splitlines()) == 2
    perfect = RUN.evaluation._replace(confusion=np.diag([4, 3, 3]))
    assert "No test image was classified wrongly." in written(RUN._replace(evaluation=perfect))


def test_what_was_not_measured_is_not_reported():
    for run in (None, RUN._replace(evaluation=None)):
        text = written(run)
        assert "No evaluation" in text
        assert "%" not in text
    assert "Versions" not in written(None)


def test_the_card_of_litert_models_has_what_their_check_found():
    assert "LiteRT" not in written()
    text = written(litert={"int8": CHECK})
    row = "| `int8.tflite` | 71,104 | 1,000 | 97.50 % | 0.1250 | 31.00 % | 30.50 % |"
    assert row in text.splitlines()
    assert "100 labelled training images" in text


def test_the_records_of_a_run_are_read_again_or_missing(tmp_path):
    assert model_card.read_records(tmp_path) is None
    for name, content in (
        ("result", RESULT),
        ("config", {"versions": RUN.versions}),
        ("splits", SPLITS),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    assert model_card.read_records(tmp_path) == RUN._replace(evaluation=None)
    np.savez(tmp_path / "evaluation.npz", **RUN.evaluation._asdict())
    run = model_card.read_records(tmp_path)
    assert run[:3] == RUN[:3]
    for one, other in zip(run.evaluation, RUN.evaluation, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_export_has_a_card_of_its_own_weights_alone(tmp_path):
    trainer = tiny.trainer("supervised", "none")
    streams = {"labelled": tiny.streams()["labelled"]}
    trainer.export(tmp_path / "untrained")
    assert "No evaluation" in (tmp_path / "untrained" / "README.md").read_text()
    result = trainer.fit(**streams, test=tiny.test_set(), steps=2, run_dir=tmp_path / "run")
    trainer.export(tmp_path / "trained", command="make model")
    text = (tmp_path / "trained" / "README.md").read_text()
    assert f"| test error | {result['test_error']:.2f} % |" in text
    assert f"| expected calibration error | {result['test_ece']:.2f} % |" in text
    assert "uint8 [N, 6, 6, 1]" in text
    assert "make model" in text
    graphs = trainer.graphs(**streams, epoch_steps=2, steps=3)
    graphs.train(graphs.batches(2), 2, 1)
    assert "No evaluation" in trainer.card()
    # Of the SavedModel that the run left.
    assert "No evaluation" not in trainer.card(litert={"int8": CHECK})


def test_adam_has_no_momentum():
    settings = {"optimizer": "adam", "momentum": 0.9}
    about = {"classes": CLASSES, "image": "uint8 [N, 8, 8, 3]", "parameters": 1234}
    card = model_card.markdown(settings, **about, averaged=None, run=RUN)
    assert "| optimizer | `adam` |" in card and "momentum" not in card


def test_a_validation_error_is_never_called_a_test_error():
    card = written(RUN._replace(result=RESULT | {"test_error": None, "val_error": 30.0}))
    assert "## Validation" in card
    assert "| validation error | 30.00 % |" in card
    assert "test" not in card.replace("## Use", "").lower()
