import numpy as np

from tf_metamixup.data.contents import changes, checksum


def test_a_checksum_is_of_the_bytes():
    assert checksum(b"abc") == checksum(b"abc") != checksum(b"abd")
    assert checksum(np.arange(3)) != checksum(np.arange(4))


def test_the_same_contents_have_no_changes():
    assert changes({"a": "1", "b": "2"}, {"b": "2", "a": "1"}) == ""


def test_changes_are_named_and_counted():
    before = {"cat/1": "1", "cat/2": "2", "cat/3": "3", "dog/1": "4"}
    now = {"cat/2": "9", "dog/1": "4", "dog/2": "1", "dog/3": "5"}
    assert changes(before, now) == (
        "1 added (dog/3), 1 removed (cat/3), 1 moved (cat/1 to dog/2), 1 replaced (cat/2)"
    )


def test_of_many_changes_some_are_named():
    assert changes({}, {f"{n}": f"{n}" for n in range(9)}) == "9 added (0, 1, 2, ...)"


def test_of_equal_files_as_many_are_moved_as_have_gone():
    before, now = {"a": "1", "b": "1"}, {"b": "1", "c": "1", "d": "1"}
    assert changes(before, now) == "1 added (d), 1 moved (a to c)"
