import dataclasses
import json
import subprocess
import sys

import pytest

from tf_metamixup import main
from tf_metamixup.config import DataInfo
from tf_metamixup.report import __main__ as report
from tf_metamixup.report import paper


def result(
    error, *, policy=paper.META, seed=0, steps=10, status="finished", dataset="digits", **entry
):
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
            "mode": "sl",
            "seed": seed,
            "run_dir": f"runs/{policy}-{seed}",
        },
        "history": [{"epoch": 1, **entry}],
    }


def run(folder, made):
    """A run directory that holds nothing but a result."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(made))


def read(markdown):
    """A Markdown table as one dict a line."""
    head, _, *rest = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown.splitlines()
        if line.startswith("|")
    ]
    return [dict(zip(head, line, strict=True)) for line in rest]


def lines(*results):
    return read(report.table(results))


def test_seeds_are_taken_together_with_mean_and_sample_deviation():
    (line,) = lines(result(4.0, seed=0), result(6.0, seed=1), result(8.0, seed=2))
    assert line == {
        "data set": "digits",
        "architecture": "`cnn3`",
        "row": "MetaMixUp",
        "method": "`supervised`",
        "policy": f"`{paper.META}`",
        "labels used": "200",
        "steps": "10",
        "test error %": "6.00 ± 2.00",
        "seeds": "3",
    }


def test_the_best_row_of_a_data_set_comes_first():
    made = lines(
        result(5.0, policy="none"),
        result(3.0),
        result(9.0, policy="beta"),
        result(1.0, dataset="z"),
    )
    assert [(line["data set"], line["row"]) for line in made] == [
        ("digits", "MetaMixUp"),
        ("digits", "Baseline"),
        ("digits", "MixUp"),
        ("z", "MetaMixUp"),
    ]


def test_fewer_seeds_other_steps_and_unfinished_runs_are_marked():
    made = lines(
        result(1.0),
        result(1.0, seed=1),
        result(2.0, policy="beta", status="stopped"),
        result(3.0, policy="none", steps=7),
        result(3.0, policy="none", steps=7, seed=1),
    )
    assert [line["steps"] for line in made] == ["10", "10", "7 (others: 10)"]
    assert [line["seeds"] for line in made] == ["2", "1 (of 2) (not finished)", "2"]


def test_pseudo_labels_of_the_last_epoch_are_shown_where_there_are_any():
    (line,) = lines(result(4.0, accepted=0.5, pseudo_label_error=None))
    assert line["accepted"] == "0.50"
    assert "wrong of accepted %" not in line


def by_protocol(error, seed=0, **changed):
    """A run of Table I's MixUp on CIFAR-100."""
    config = main.parse(["main", "--dataset=cifar100", "--policy=beta", f"--seed={seed}"])
    config = config.resolve(data=DataInfo(classes=100, examples=50_000, flip=True))
    made = result(error, policy="beta", seed=seed)
    return made | {
        "config": dataclasses.asdict(dataclasses.replace(config, **changed)),
        "test_error_top5": error / 4,
    }


def test_the_papers_number_stands_beside_ours():
    (line,) = lines(by_protocol(20.0), by_protocol(22.0, seed=1))
    assert (line["row"], line["paper"], line["top-5 %"]) == ("MixUp", "21.35", "5.25 ± 0.35")


def test_another_protocol_than_the_papers_is_reported():
    (line,) = lines(by_protocol(20.0, epochs=2, train_examples=500))
    assert line["paper"] == "21.35 (here epochs=2, train_examples=500)"


@pytest.mark.parametrize(("size", "other"), [(100, {}), (None, {}), (64, {"image_size": 64})])
def test_crops_of_imagenet_that_are_not_100_wide_are_another_protocol(size, other):
    config = by_protocol(20.0)["config"] | {"dataset": "imagenet2012", "image_size": size}
    assert report.departures(config) == other


@pytest.mark.parametrize("steps", [0, 100])
def test_a_warm_up_is_no_other_protocol(steps):
    (line,) = lines(by_protocol(20.0, warmup_steps=steps))
    assert line["paper"] == "21.35"


def test_a_table_of_the_paper_says_what_is_missing():
    runs = [by_protocol(20.0), by_protocol(22.0, seed=1), by_protocol(1.0, epochs=2)]
    text = report.paper_table(1, runs)
    rows = {line["row"]: line for line in read(text)}
    assert rows["MixUp (preact_resnet18)"]["CIFAR-100"] == "21.00 ± 1.41 (2); paper 21.35"
    assert rows["MixUp (preact_resnet18)"]["CIFAR-10"] == "missing; paper 4.57"
    assert rows["MixUp (preact_resnet18)"]["MNIST"] == ""
    assert rows["AdaMixUp w/o discriminator (preact_resnet18)"]["SVHN"] == ""
    assert "59 of 60 cells are missing" in text


def test_the_rows_beside_metamixup_are_not_pooled_with_it():
    made = lines(
        result(3.0), result(4.0, policy="meta", seed=1), result(5.0, policy=paper.LITERAL, seed=2)
    )
    assert [(line["row"], line["seeds"]) for line in made] == [
        ("MetaMixUp", "1"),
        ("MetaMixUp, cached features", "1"),
        ("MetaMixUp, to the letter", "1"),
    ]


def test_runs_of_own_models_have_a_line(tmp_path):
    own = result(4.0)
    own["config"] = {"method": "Supervised()", "policy": "Meta()", "seed": 0}
    (line,) = lines(own)
    assert (line["data set"], line["architecture"]) == ("own data", "`own model`")


def test_failed_runs_and_broken_files_are_left_out(tmp_path, capsys):
    run(tmp_path / "good", result(4.0))
    run(tmp_path / "failed", result(90.0, status="failed"))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "result.json").write_text("{")
    assert report.main(["report", str(tmp_path)]) == 0
    reported = capsys.readouterr()
    assert "4.00" in reported.out and "90" not in reported.out
    assert "broken" in reported.err


def test_a_comparison_is_printed_without_what_tensorflow_says_as_it_starts(tmp_path):
    for seed, error in enumerate((4.0, 5.5)):
        run(tmp_path / f"run{seed}", result(error, policy="beta", seed=seed))
    command = [sys.executable, "-m", "tf_metamixup.report", tmp_path, "--against=beta(1)"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "| `beta` | 200 | 10 | 2 | 4.75 | reference |" in done.stdout


def test_help_tells_the_usage(capsys):
    with pytest.raises(SystemExit) as ended:
        report.main(["report", "--help"])
    assert ended.value.code == 0
    reported = capsys.readouterr().out
    assert "RUNS_DIR" in reported and "--table" in reported


def test_an_empty_folder_and_a_missing_argument_are_reported(tmp_path, capsys):
    assert report.main(["report", str(tmp_path)]) == 1
    assert report.main(["report"]) == 2
    assert report.main(["report", str(tmp_path), "--table=6"]) == 2
    assert "RUNS_DIR" in capsys.readouterr().err


def test_seeds_of_data_without_a_name_are_reported_to_name_it(tmp_path, capsys):
    for seed in (0, 1):
        own = result(4.0)
        own["config"] = {"method": "Supervised()", "policy": "Meta()", "seed": seed}
        run(tmp_path / str(seed), own)
        assert report.main(["report", str(tmp_path)]) == 0
        assert ("dataset='NAME'" in capsys.readouterr().err) == (seed == 1)


def test_a_validation_error_is_never_called_a_test_error():
    printed = report.table([result(None) | {"val_error": 12.25}])
    assert "test error" not in printed
    assert "| error % |" in printed
    assert "12.25" in printed
    assert "digits, validation images" in printed


def test_a_table_and_a_comparison_are_two_reports(capsys):
    assert report.main(["report", "runs", "--table=3", "--against=none"]) == 2
    assert "--table and --against are two reports" in capsys.readouterr().err


def test_a_full_disk_is_said_in_one_line(tmp_path):
    run(tmp_path, result(4.0))
    command = [sys.executable, "-m", "tf_metamixup.report", str(tmp_path)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr


def test_rows_that_look_the_same_are_told_apart_by_their_settings():
    one, two, other = result(4.0), result(5.0), result(6.0, policy="beta")
    one["config"]["learning_rate"], two["config"]["learning_rate"] = 0.1, 0.03
    other["config"]["learning_rate"] = 0.2
    lines = read(report.table([one, two, other]))
    assert [line["differs in"] for line in lines] == ["learning_rate=0.1", "learning_rate=0.03", ""]
    assert "differs in" not in report.table([one, other])
