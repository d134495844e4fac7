import csv
import json
import re

import numpy as np
import pytest
import tensorflow as tf

from tests.outcome import result_of
from tf_metamixup import experiment, main
from tf_metamixup.core.errors import UserError
from tf_metamixup.report import audit, audit_page
from tf_metamixup.training.audit import evidence

CLASSES = ["<b>cat</b>", 'dog"', "owl"]


def judged(truth=None):
    images = np.full((4, 6, 6, 3), 200, np.uint8)
    return audit.Judged(
        names=["a.png", "<i>.png", "c.png", "d.png"],
        images=images,
        classes=CLASSES,
        given=np.array([0, 0, 1, 1]),
        right=np.array([0.9, 0.2, 0.4, 0.95]),
        suggested=np.array([0, 2, 0, 1]),
        how="by hand & eye",
        truth=truth,
    )


def test_the_most_suspicious_labels_come_first():
    rows = list(csv.reader(judged().table().splitlines()))
    assert rows[0] == ["image", "label", "probability_right", "suggested"]
    assert rows[1] == ["<i>.png", "<b>cat</b>", "0.2000", "owl"]
    assert [row[0] for row in rows[2:]] == ["c.png", "a.png", "d.png"]


def test_what_is_found_of_wrong_labels_is_counted_where_the_right_ones_are_known():
    assert judged().scores() == {"labels": 4, "suspicious": 2}
    scores = judged(truth=np.array([0, 2, 1, 0])).scores()  # the second and the last are wrong
    assert scores["wrong"] == 2 and scores["auc"] == 0.5
    assert scores["precision"] == {"2": 0.5}


def test_the_page_shows_images_by_class_escapes_names_and_runs_nothing():
    made = judged()
    text = audit_page.page(made, made.scores())
    assert [*re.findall(r"<h2>Labelled (.*?) <small>(.*?)</small>", text)] == [
        ("&lt;b&gt;cat&lt;/b&gt;", "1 of 2 suspicious"),
        ("dog&quot;", "1 of 2 suspicious"),
    ]
    assert text.count('src="data:image/png;base64,') == 4
    assert "<i>" not in text and "<script" not in text and "by hand &amp; eye" in text
    assert text.index("&lt;i&gt;.png") < text.index("a.png")


def test_the_page_asks_for_another_class_only_where_one_is_suggested():
    made = judged()
    captions = re.findall(r"<figcaption>(.*?)<small>", audit_page.page(made, made.scores()))
    assert captions == ["owl?<br>", "", "&lt;b&gt;cat&lt;/b&gt;?<br>", ""]


def read(folder):
    return (folder / "labels.csv").read_text(), (folder / "labels.html").read_text()


def test_a_run_that_judges_labels_says_at_its_end_which_are_wrong_and_so_does_the_command(
    tmp_path, capsys
):
    flags = [
        *("--architecture=cnn3(width=2, features=2)", "--train_examples=60", "--num_meta=20"),
        *("--batch_size=20", "--epochs=2", "--noexport", "--label_noise=symmetric(0.5)"),
        *("--method=small_loss", "--policy=dynamic", "--mode=sl", f"--run_dir={tmp_path}"),
    ]
    result = main.train(experiment.canonical(main.parse(["main", *flags])))
    scores = result_of(tmp_path)["label_audit"]
    told = " of the 60 labels are wrong (--label_noise=symmetric(rate=0.5)); those of the 20 meta"
    assert f"\n{scores['wrong']}{told} images are right\n" in capsys.readouterr().err
    assert scores["labels"] == 60 and 15 < scores["wrong"] < 45 and 0 <= scores["auc"] <= 1
    assert "found with an area under the ROC" in main.describe(result, str(tmp_path))
    before = read(tmp_path)
    for _, label, right, suggested in [*csv.reader(before[0].splitlines())][1:]:
        # As printed, a number just below 1/2 is 1/2.
        assert float(right) == 0.5 or (suggested == label) == (float(right) > 0.5)
    for name in (audit.LABELS, audit.PAGE):
        (tmp_path / name).unlink()
    assert audit.main(["audit", str(tmp_path)]) == 0
    assert read(tmp_path) == before
    assert "judged by method small_loss" in (told := capsys.readouterr().out)
    assert "Read the order, not the probabilities" in told and "suspicious" not in scores


def test_labels_are_judged_on_average_over_the_audits_of_a_run(tmp_path):
    flags = [
        *("--architecture=cnn3(width=2, features=2)", "--train_examples=60", "--num_meta=20"),
        *("--batch_size=20", "--epochs=4", "--noexport", "--pictures=0", "--mode=sl"),
        *("--method=small_loss(start=0.5, period=0.25)", "--policy=dynamic"),
        f"--run_dir={tmp_path}",
    ]
    main.train(experiment.canonical(main.parse(["main", *flags])))
    assembly = experiment.rebuild(tmp_path, result_of(tmp_path))
    state = assembly.trainer.label_audit.state
    assert state["audits"] == 2
    found = evidence(assembly.trainer, assembly.prepared.labelled, None)
    last, _ = assembly.trainer.method.assess(found)
    right = audit.judge(assembly).right
    np.testing.assert_allclose(right, (state["average"] + last)[:60] / 2, rtol=1e-6)
    assert not np.allclose(right, last[:60])


def test_a_worker_that_is_lost_while_labels_are_judged_is_reported(tmp_path, monkeypatch):
    """This process alone, which takes itself for one of two once it judges."""

    def judge(assembly):
        assembly.trainer.workers.count = 2
        raise tf.errors.UnavailableError(None, None, "the tasks have crashed")

    monkeypatch.setattr(audit, "judge", judge)
    flags = [
        *("--architecture=cnn3(width=2)", "--train_examples=40", "--num_meta=10", "--epochs=1"),
        *("--batch_size=20", "--noexport", "--method=small_loss", "--policy=dynamic"),
        *("--pictures=0", f"--run_dir={tmp_path}"),
    ]
    with pytest.raises(UserError, match="worker 0 of 2 has lost another one"):
        main.train(experiment.canonical(main.parse(["main", *flags])))


def test_any_other_run_is_judged_by_its_losses_and_the_page_says_so(finished_mixup, tmp_path):
    judged = audit.judge(experiment.rebuild(finished_mixup, result_of(finished_mixup)))
    assert judged.truth is None and len(judged.names) == 60
    assert judged.scores() == {"labels": 60}  # an order that is nothing to count by
    page = audit_page.page(judged, judged.scores())
    assert "memorized" in page and "% right" not in page and "suspicious</small>" not in page
    assert "60 labels, the most suspicious first" in audit.describe(judged.scores(), "runs/x")[0]
    assert ((judged.right >= 0) & (judged.right <= 1)).all()


@pytest.mark.parametrize(("words", "code"), [([], 2), (["nowhere/at/all"], 1)])
def test_what_is_no_run_is_refused(words, code, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert audit.main(["audit", *words]) == code
    assert capsys.readouterr().err.startswith("error: ")
    assert not [*tmp_path.iterdir()]


def test_a_result_that_is_not_ours_is_refused(tmp_path):
    (tmp_path / "result.json").write_text('{"accuracy": 1}')
    with pytest.raises(UserError, match="is not the result of a run"):
        audit.run(([str(tmp_path)], None))


def test_a_run_that_is_not_finished_is_refused_wherever_it_lies(tmp_path, monkeypatch):
    made = {"config": {}, "history": [], "labels_used": 3, "method": "supervised"}
    made |= {"policy": "none", "status": "stopped", "steps": 4}
    (tmp_path / "result.json").write_text(json.dumps(made))
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    for folder in (str(tmp_path), f"~/{tmp_path.name}"):
        with pytest.raises(UserError, match="is stopped after 4 steps"):
            audit.run(([folder], None))
