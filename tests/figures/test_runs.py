import json

import pytest

from tests.figures.made import run
from tf_metamixup.core.errors import UserError
from tf_metamixup.figures.runs import by_row, check_alike, check_lengths, read, seeds, subject


@pytest.fixture
def write(tmp_path):
    """Makes a run directory; `result` None is a run under way."""

    def call(name, result=None):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"settings": {}}')
        if result is not None:
            (folder / "result.json").write_text(json.dumps(result))
        return folder

    return call


def test_runs_are_found_at_and_below_a_path_once(write, tmp_path):
    result = run().result
    one, two = write("study/one", result), write("study/two", result)
    found = read([str(tmp_path / "study"), str(one)])
    assert [each.folder for each in found] == [one, two]
    assert found[0].result == result


def test_a_path_without_runs_is_reported(tmp_path):
    with pytest.raises(UserError, match="is no run directory and none lies below it"):
        read([str(tmp_path)])


def test_a_run_that_is_under_way_is_reported(write, tmp_path):
    write("one")
    with pytest.raises(UserError, match="not finished; its command resumes it"):
        read([str(tmp_path)])


@pytest.mark.parametrize("status", ["stopped", "failed"])
def test_a_run_that_stopped_or_failed_is_reported(write, tmp_path, status):
    write("one", run().result | {"status": status})
    with pytest.raises(UserError, match=f"is {status} after 6 steps"):
        read([str(tmp_path)])


@pytest.mark.parametrize("content", ["[", "[]", "{}"])
def test_a_damaged_result_is_reported(write, tmp_path, content):
    (write("one") / "result.json").write_text(content)
    with pytest.raises(UserError, match=r"cannot read .*result\.json"):
        read([str(tmp_path)])


def test_missing_or_damaged_lambdas_are_reported(write, tmp_path):
    folder = write("one", run().result)
    for spoil in (lambda: None, lambda: (folder / "lambdas.npz").write_bytes(b"no zip")):
        spoil()
        with pytest.raises(UserError, match=r"cannot read .*lambdas\.npz"):
            _ = read([str(folder)])[0].lambdas


def test_runs_may_differ_in_seed_folder_and_what_the_figure_compares():
    check_alike([run(seed=0), run(seed=1, run_dir="here"), run(policy="beta")], ["policy"])


def test_other_settings_are_reported_with_both_values():
    with pytest.raises(UserError, match="no more than policy, seed, but epochs: 2 and 3; flip"):
        check_alike([run(), run(policy="beta", epochs=3, flip=True)], ["policy"])


def test_the_same_run_in_two_folders_is_no_second_seed():
    with pytest.raises(UserError, match="are the same run"):
        check_alike([run(), run(run_dir="copied")], [])


def test_rows_have_the_papers_names_and_mixup_comes_before_metamixup():
    runs = [run(seed=1), run(policy="fixed(0.25)"), run(), run(policy="beta")]
    rows = by_row(runs)
    assert list(rows) == ["MixUp", "fixed(0.25)", "MetaMixUp"]
    assert [each.config["seed"] for each in rows["MetaMixUp"]] == [1, 0]


def test_a_row_of_several_kinds_is_refused():
    methods = ["vat", "vat(epsilon=1.0)"]
    with pytest.raises(UserError, match=r"row VAT differ: vat\(epsilon=1.0\), none; vat, none"):
        by_row([run(mode="ssl", policy="none", method=method) for method in methods])


def test_a_title_says_what_was_trained():
    trained = [run(train_examples=2000, architecture="cnn3")]
    assert subject(trained) == "digits, cnn3, 2,000 training images, 2 epochs"
    assert (seeds(trained), seeds(trained * 2)) == ("1 seed", "2 seeds")


def test_runs_that_ended_after_other_epochs_are_not_averaged():
    runs = [run(history=[{}, {}]), run(history=[{}, {}])]
    check_lengths(runs)
    runs[1].result["history"].pop()
    with pytest.raises(UserError, match=r"averages over epochs, but .* has 1"):
        check_lengths(runs)


def test_the_configuration_of_another_program_is_passed_over(write, tmp_path):
    write("study/one", run().result)
    (tmp_path / "study" / "config.json").write_text("{}")
    assert len(read([str(tmp_path / "study")])) == 1
