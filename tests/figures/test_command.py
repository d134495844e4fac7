"""`python -m tf_metamixup.figures` on two runs that were really trained."""

import shutil

import pytest

from tf_metamixup.figures import __main__ as command
from tf_metamixup.figures import features, runs, style


@pytest.fixture
def run(capsys):
    """Runs a command line in this process: (exit code, stdout, stderr)."""

    def call(*arguments):
        code = command.main(["figures", *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def refused(run, tmp_path):
    """Runs a command line that is an error; its one message."""

    def call(code, *arguments):
        actual, out, err = run(*arguments)
        assert (actual, out) == (code, ""), err
        assert err.startswith("error: ") and "Traceback" not in err
        return err

    return call


@pytest.mark.parametrize("number", ["2", "4", "5", "6", "proposition1"])
def test_a_figure_of_mixup_and_metamixup(run, finished_pair, tmp_path, number):
    code, out, err = run(f"--figure={number}", f"--out={tmp_path}/new/here", finished_pair)
    assert code == 0, err
    name = number if number == "proposition1" else f"figure{number}"
    paths = [tmp_path / "new" / "here" / f"{name}.{ending}" for ending in ("png", "svg")]
    assert out.split() == [str(path) for path in paths]
    assert paths[0].read_bytes().startswith(b"\x89PNG") and b"<svg" in paths[1].read_bytes()


def test_figure_7_of_chosen_epochs_in_one_format(run, finished_pair, tmp_path):
    flags = ("--figure=7", "--epochs=1-2,2", "--format=svg", f"--out={tmp_path}")
    code, out, err = run(*flags, finished_pair / "meta")
    assert (code, out) == (0, f"{tmp_path}/figure7.svg\n"), err


def test_the_same_runs_give_the_same_bytes(run, finished_pair, tmp_path):
    made = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        run("--figure=6", f"--out={folder}", finished_pair)
        made.append([path.read_bytes() for path in sorted(folder.iterdir())])
    assert made[0] == made[1] and len(made[0]) == 2


def test_figure_3_of_one_size_says_how_to_make_more(refused, finished_pair, tmp_path):
    reported = refused(1, "--figure=3", f"--out={tmp_path}", finished_pair)
    assert "num_meta=20" in reported and "launch/figure3.sh" in reported


def test_figure_4_of_other_than_two_features_says_how_to_make_it(
    refused, finished_pair, tmp_path, monkeypatch
):
    extract = features.of
    monkeypatch.setattr(features, "of", lambda *a: [extract(*a)[0][:, :1], extract(*a)[1]])
    reported = refused(1, "--figure=4", f"--out={tmp_path}", finished_pair)
    assert "has 1 features" in reported and "launch/figure4.sh" in reported


def test_figure_7_of_two_rows_is_reported(refused, finished_pair, tmp_path):
    reported = refused(1, "--figure=7", f"--out={tmp_path}", finished_pair)
    assert "policy: 'beta' and 'meta'" in reported or "policy: 'meta' and 'beta'" in reported


def test_a_run_without_checkpoints_still_has_its_curves(run, refused, finished_pair, tmp_path):
    copy = shutil.copytree(finished_pair / "beta", tmp_path / "copy")
    shutil.rmtree(copy / "checkpoints")
    assert run("--figure=2", f"--out={tmp_path}", copy)[0] == 0
    assert "does not hold the end" in refused(1, "--figure=5", f"--out={tmp_path}", copy)


def test_a_folder_that_cannot_be_written_is_reported(refused, finished_pair, tmp_path):
    (tmp_path / "file").write_text("")
    assert "--out=" in refused(1, "--figure=6", f"--out={tmp_path}/file", finished_pair)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--out=o", "runs"], "--figure is missing"),
        (["--figure=2", "runs"], "--out is missing"),
        (["--figure=2", "--out=o", "--format=", "runs"], "--format is missing"),
        (["--figure=1", "--out=o", "runs"], "figure"),
        (["--figure=2", "--out=o"], "no runs"),
        (["--figure=2", "--out=o", "--format=pdf", "runs"], "--format=pdf"),
        (["--figure=2", "--out=o", "--epochs=3", "runs"], "--epochs goes with --figure=7"),
        (["--figure=2", "--out=o", "--data_dir=d", "runs"], "--data_dir goes with"),
        (["--figure=7", "--out=o", "--epochs=3,x", "runs"], "--epochs=x"),
        (["--figure=7", "--out=o", "--epochs=0", "runs"], "--epochs=0"),
        (["--figure=7", "--out=o", "--epochs=5-2", "runs"], "--epochs=5-2"),
    ],
)
def test_a_wrong_flag_is_reported(refused, arguments, part):
    assert part in refused(2, *arguments)


def test_a_path_without_runs_is_reported(refused, tmp_path):
    assert "no run directory" in refused(1, "--figure=2", f"--out={tmp_path}", tmp_path / "none")


def test_a_long_title_is_folded_into_the_width_of_the_figure():
    figure = style.new("Mean lambda\n" + "a network with many options, " * 4, width=4)
    first, *rest = figure.get_suptitle().splitlines()
    assert first == "Mean lambda" and len(rest) > 1
    assert max(map(len, rest)) <= 4 * style.CHARACTERS_AN_INCH


def test_curves_and_classes_have_colours_of_their_own():
    for colours in (style.COLOURS, style.CLASS_COLOURS):
        assert len({*colours}) == len(colours)
    assert runs.FREE.isdisjoint(runs.COMPARED)
