import pytest

from tests.report.test_report import result, run
from tf_metamixup.core.errors import UserError
from tf_metamixup.report import __main__ as report
from tf_metamixup.report import comparison, paper
from tf_metamixup.runs import results
from tf_metamixup.runs.summary import summary


def test_failed_runs_are_left_out_and_named(tmp_path, capsys):
    run(tmp_path / "0", result(4.0, seed=0))
    run(tmp_path / "1", result(5.0, seed=1) | {"status": "failed"})
    assert len(results.read([str(tmp_path)])) == 1
    assert f"note: left out, since they failed: {tmp_path}/1" in capsys.readouterr().err


def test_an_empty_name_of_the_folder_to_keep_is_refused():
    with pytest.raises(UserError, match="--keep= must name a folder"):
        results.keep([], "")


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


def test_a_run_that_lies_there_and_was_kept_is_reported_once(tmp_path):
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


def test_a_folder_that_cannot_be_written_is_reported(tmp_path, capsys):
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


def test_copies_of_a_run_count_once_and_are_named(tmp_path, capsys):
    for name in "ab":
        run(tmp_path / name, result(4.0))
    run(tmp_path / "c", result(6.0, seed=1))
    results.keep([result(4.0)], str(tmp_path / "kept"))
    assert [each["test_error"] for each in results.read([str(tmp_path)])] == [4.0, 6.0]
    reported = capsys.readouterr().err
    assert reported.count("\n") == 1 and reported.startswith("note: copies of a run count once: ")
    for copy in (f"{tmp_path}/b/result.json", f"{tmp_path}/kept/results.jsonl line 1"):
        assert f"{copy} of {tmp_path}/a/result.json" in reported


def test_a_run_that_was_repeated_is_a_copy_whatever_time_it_took(tmp_path, capsys):
    for name, seconds in (("a", 3.0), ("b", 4.0)):
        run(tmp_path / name, result(4.0) | {"seconds": seconds, "images_per_second": 12 / seconds})
    assert len(results.read([str(tmp_path)])) == 1
    assert capsys.readouterr().err.startswith("note: copies of a run count once: ")


def test_a_folder_that_is_named_twice_holds_no_copies(tmp_path, capsys):
    run(tmp_path / "a", result(4.0))
    assert len(results.read([str(tmp_path), str(tmp_path / "a")])) == 1
    assert capsys.readouterr().err == ""


def test_other_results_of_the_same_settings_and_seed_are_reported_with_both_errors(
    tmp_path, capsys
):
    run(tmp_path / "a", result(9.0, status="stopped"))
    run(tmp_path / "b", result(4.0))
    run(tmp_path / "c", result(5.0))
    (found,) = results.read([str(tmp_path)])
    assert found["test_error"] == 4.0  # what is finished goes before what is not
    reported = capsys.readouterr().err
    assert reported.count("\n") == 1
    assert f"4.00 % in {tmp_path}/b/result.json, 9.00 % (stopped) in {tmp_path}/a/" in reported
    assert f"5.00 % (finished) in {tmp_path}/c/result.json" in reported
    assert "Trainer.fit" not in reported


def test_results_of_data_without_a_name_are_reported_to_name_it(tmp_path, capsys):
    for error in (4.0, 5.0):
        made = result(error)
        del made["config"]["dataset"]
        run(tmp_path / str(error), made)
    results.read([str(tmp_path)])
    assert "data differ, name them: Trainer.fit(..., dataset='NAME')" in capsys.readouterr().err


def test_many_copies_are_one_line(tmp_path, capsys):
    for n in range(9):
        run(tmp_path / str(n), result(4.0))
    assert len(results.read([str(tmp_path)])) == 1
    reported = capsys.readouterr().err
    assert reported.count("\n") == 1 and reported.endswith("; and 5 more\n")


@pytest.mark.parametrize("name", ["replicas", "row_groups", "deterministic", "log_every"])
def test_what_measures_the_same_is_one_row_and_one_run(tmp_path, name):
    for n, seed in enumerate((0, 0, 1)):
        made = result(4.0, seed=seed)
        made["config"][name] = n + 1
        run(tmp_path / str(n), made)
    (row,) = results.rows(results.read([str(tmp_path)]))
    assert sorted(row.seeds) == [0, 1]


def test_a_setting_that_is_off_is_as_if_it_were_not_there():
    older, newer = result(4.0), result(6.0, seed=1)
    newer["config"] |= {"initial_weights": None, "jit": False}
    assert len(results.rows([older, newer])) == 1
    newer["config"]["jit"] = True
    assert len(results.rows([older, newer])) == 2
    newer["config"] |= {"jit": False, "select": "last"}  # the default
    assert len(results.rows([older, newer])) == 1
    newer["config"] |= {"shift": 0}  # which is no switch
    assert len(results.rows([older, newer])) == 2


def own(error, data, seed=0, **settings):
    made = result(error, seed=seed)
    made["config"] = {"method": "Supervised()", "policy": "Meta()", "seed": seed, **settings}
    return made | {"data": data}


def test_runs_on_other_data_of_the_same_name_are_rows_of_their_own(tmp_path):
    for settings in ({}, {"dataset": "folder:photos"}):
        runs = [own(4.0, "a1", 0, **settings), own(8.0, "b2", 1, **settings)]
        name = settings.get("dataset", "own data")
        rows = results.rows([*runs, own(6.0, "a1", 2, **settings)])
        assert [(row.data, row.errors) for row in rows] == [
            (f"{name} (a1)", [4.0, 6.0]),
            (f"{name} (b2)", [8.0]),
        ]
        reported = comparison.against(paper.META, [*runs, own(9.0, "a1", 2, **settings)])
        assert (
            f"**{name} (a1), test images**" in reported
            and f"**{name} (b2), test images**" in reported
        )


@pytest.mark.parametrize("content", [b"[]", b"{}", b"{", b"\xff", b'{"config": []}', b"null"])
def test_what_is_no_result_is_left_out_and_named(tmp_path, capsys, content):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "result.json").write_bytes(content)
    run(tmp_path / "good", result(4.0))
    assert len(results.read([str(tmp_path)])) == 1
    reported = capsys.readouterr().err
    assert reported.startswith(f"warning: {tmp_path}/bad/result.json is skipped: ")
    assert reported.count("\n") == 1


def test_a_line_that_is_cut_short_costs_no_other_line(tmp_path, capsys):
    results.keep([result(4.0), result(6.0, seed=1)], str(tmp_path))
    text = (tmp_path / "results.jsonl").read_text()
    (tmp_path / "results.jsonl").write_text(text[:-30])
    assert [each["test_error"] for each in results.read([str(tmp_path)])] == [4.0]
    assert "results.jsonl line 2 is skipped: it is not JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    "damage",
    [
        {"history": [None]},
        {"test_error": "33"},
        {"val_error": [1]},
        {"method": None},
        {"data": [1]},
        {"config": {"seed": [1]}},
    ],
)
def test_a_damaged_result_is_left_out_and_the_others_are_read(tmp_path, capsys, damage):
    run(tmp_path / "a", result(4.0) | damage)
    run(tmp_path / "b", result(6.0, seed=1))
    assert [each["test_error"] for each in results.read([str(tmp_path)])] == [6.0]
    assert "a/result.json is skipped: it is not the result of a run" in capsys.readouterr().err


def test_runs_are_found_behind_links_and_by_their_file(tmp_path):
    run(tmp_path / "elsewhere" / "a", result(4.0))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a").symlink_to(tmp_path / "elsewhere" / "a")
    (tmp_path / "runs" / "up").symlink_to(tmp_path / "runs")
    for place in ("runs", "elsewhere/a/result.json"):
        assert len(results.read([str(tmp_path / place)])) == 1


def test_how_often_was_evaluated_makes_another_row_where_it_decides_the_weights():
    for more, differ in (({}, False), ({"select": "best"}, True), ({"patience": 2}, True)):
        often, rarely = result(4.0), result(5.0)
        often["config"] |= {"evaluate_every": 1, **more}
        rarely["config"] |= {"evaluate_every": 5, **more}
        assert (results.row_key(often) != results.row_key(rarely)) is differ
        assert ("evaluate_every" in results.line(often)) is differ


def test_unused_training_images_are_called_so():
    unused = result(4.0)
    unused["config"]["evaluate_on"] = "unused"
    assert results.reported_error(unused) == ("unused training", 4.0)
    printed = summary({**unused, "status": "finished"}, "runs/a")
    assert printed.startswith("finished: 10 steps, error on unused training images 4.00 %")


def test_a_folder_that_is_not_there_is_refused_beside_others(tmp_path):
    run(tmp_path / "a", result(4.0))
    with pytest.raises(UserError, match=r"there is no folder .*/b to read results from"):
        results.read([str(tmp_path / "a"), str(tmp_path / "b")])
