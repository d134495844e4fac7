import json

import pytest

from tests.report.test_report import result
from tf_metamixup.core.errors import UserError
from tf_metamixup.report import __main__ as report
from tf_metamixup.runs import results


def run(folder, made):
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(made))


def test_what_is_kept_is_read_like_the_runs_it_came_from(tmp_path):
    for seed in (0, 1):
        made = result(4.0 + seed, seed=seed)
        made["history"] = [{"epoch": 1, "accepted": 0.1}, {"epoch": 2, "accepted": 0.5}]
        run(tmp_path / "runs" / str(seed), made)
    found = results.read([str(tmp_path / "runs")])
    results.keep(found, str(tmp_path / "kept"))
    kept = results.read([str(tmp_path / "kept")])
    assert report.table(kept) == report.table(found) and "4.50 ± 0.71" in report.table(found)
    assert "0.50" in report.table(kept)
    assert [len(each["history"]) for each in kept] == [1, 1]
    assert "run_dir" not in kept[0]["config"]


def test_a_run_that_lies_there_and_was_kept_is_told_once(tmp_path):
    run(tmp_path / "runs" / "a", result(4.0))
    run(tmp_path / "runs" / "b", result(6.0, seed=1))
    results.keep([result(4.0), result(8.0, seed=2)], str(tmp_path / "kept"))
    found = results.read([str(tmp_path / "runs"), str(tmp_path / "kept")])
    assert sorted(each["test_error"] for each in found) == [4.0, 6.0, 8.0]


def test_keeping_again_changes_nothing(tmp_path):
    results.keep([result(6.0, seed=1), result(4.0)], str(tmp_path))
    before = (tmp_path / "results.jsonl").read_bytes()
    results.keep(results.read([str(tmp_path)]), str(tmp_path))
    assert (tmp_path / "results.jsonl").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_told(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*file"):
        results.keep([result(4.0)], str(tmp_path / "file"))
    run(tmp_path / "runs", result(4.0))
    assert report.main(["report", str(tmp_path / "runs"), f"--keep={tmp_path / 'file'}"]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_report_keeps_and_reads_several_folders(tmp_path, capsys):
    run(tmp_path / "a", result(4.0))
    run(tmp_path / "b", result(6.0, seed=1))
    folders = [str(tmp_path / name) for name in "ab"]
    assert report.main(["report", *folders, f"--keep={tmp_path / 'kept'}"]) == 0
    assert report.main(["report", str(tmp_path / "kept")]) == 0
    first, second = capsys.readouterr().out.split("| data set")[1:]
    assert first == second and "5.00 ± 1.41" in first
