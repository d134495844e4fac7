import json

from tf_metamixup import report


def result(error, *, policy="meta", seed=0, steps=10, status="finished", dataset="digits", **entry):
    return {
        "status": status,
        "test_error": error,
        "steps": steps,
        "labels_used": 200,
        "method": "supervised",
        "policy": policy,
        "config": {
            "dataset": dataset,
            "architecture": "cnn3",
            "method": "supervised",
            "policy": policy,
            "seed": seed,
            "run_dir": f"runs/{policy}-{seed}",
        },
        "history": [{"epoch": 1, **entry}],
    }


def lines(*results):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in report.table(results).splitlines()[2:]
    ]


def test_seeds_are_taken_together_with_mean_and_sample_deviation():
    (line,) = lines(result(4.0, seed=0), result(6.0, seed=1), result(8.0, seed=2))
    assert line[:8] == [
        *("digits", "`cnn3`", "`supervised`", "`meta`", "200", "10", "6.00 ± 2.00", "3")
    ]


def test_the_best_row_of_a_data_set_comes_first():
    made = lines(
        result(5.0, policy="none"),
        result(3.0),
        result(9.0, policy="beta"),
        result(1.0, dataset="z"),
    )
    assert [(line[0], line[3]) for line in made] == [
        ("digits", "`meta`"),
        ("digits", "`none`"),
        ("digits", "`beta`"),
        ("z", "`meta`"),
    ]


def test_fewer_seeds_other_steps_and_unfinished_runs_are_marked():
    made = lines(
        result(1.0),
        result(1.0, seed=1),
        result(2.0, policy="beta", status="stopped"),
        result(3.0, policy="none", steps=7),
        result(3.0, policy="none", steps=7, seed=1),
    )
    assert [line[5] for line in made] == ["10", "10", "7 (others: 10)"]
    assert [line[7] for line in made] == ["2", "1 (of 2) (not finished)", "2"]


def test_pseudo_labels_of_the_last_epoch_are_shown_where_there_are_any():
    (line,) = lines(result(4.0, accepted=0.5, pseudo_label_error=None))
    assert line[8:] == ["0.50", ""]


def test_failed_runs_and_broken_files_are_left_out(tmp_path, capsys):
    for name, text in (
        ("good", json.dumps(result(4.0))),
        ("failed", json.dumps(result(90.0, status="failed"))),
        ("broken", "{"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(text)
    assert report.main(["report", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert "4.00" in told.out and "90" not in told.out
    assert "broken" in told.err


def test_an_empty_folder_and_a_missing_argument_are_told(tmp_path, capsys):
    assert report.main(["report", str(tmp_path)]) == 1
    assert report.main(["report"]) == 2
    assert "RUNS_DIR" in capsys.readouterr().err
