import pytest

from tf_metamixup import main
from tf_metamixup.core import flagfiles
from tf_metamixup.core.errors import UserError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A working directory without flagfiles."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def policy(*arguments):
    return main.parse(["main", *arguments]).policy


def test_flagfiles_of_the_package_are_found_from_any_folder():
    assert policy("--flagfile=flags/row/mixup.flags") == "beta"
    assert policy("--flagfile", "flags/row/mixup.flags", "--seed=1") == "beta"
    assert policy("--seed", "1", "--flagfile=./flags/row/mixup.flags") == "beta"


def test_a_flagfile_of_ones_own_may_name_those_of_the_package(elsewhere):
    (elsewhere / "mine.flags").write_text("--flagfile=flags/row/mixup.flags\n--seed=3\n")
    config = main.parse(["main", "--flagfile=mine.flags"])
    assert (config.policy, config.seed) == ("beta", 3)


def test_flagfiles_of_the_working_directory_come_first(elsewhere):
    (elsewhere / "flags" / "row").mkdir(parents=True)
    (elsewhere / "flags" / "row" / "mixup.flags").write_text("--policy=none\n")
    assert policy("--flagfile=flags/row/mixup.flags") == "none"
    assert policy("--flagfile=flags/row/baseline.flags") == "none"
    assert policy("--flagfile=flags/row/mixup_alpha2.flags") == "beta(2.0)"


def test_an_installed_package_has_them_inside(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "tf_metamixup"
    (package / "flags").mkdir(parents=True)
    (package / "flags" / "x.flags").write_text("--seed=5\n")
    monkeypatch.setattr(flagfiles, "_PACKAGE", package)
    assert flagfiles.find("flags/x.flags") == str(package / "flags" / "x.flags")


@pytest.mark.parametrize("name", ["flags/row/nosuch.flags", "row/mixup.flags", "/flags/sl.flags"])
def test_a_flagfile_that_is_nowhere_is_reported_by_the_name_that_was_given(name):
    with pytest.raises(UserError, match=f"cannot read the flagfile {name}: No such file"):
        policy(f"--flagfile={name}")


@pytest.mark.parametrize("name", ["flags/row", "flags"])
def test_only_flagfiles_are_found(name):
    assert flagfiles.find(name) == name
