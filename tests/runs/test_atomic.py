import pytest

from tf_metamixup.runs.atomic import replacing, replacing_folder


def test_a_file_takes_the_place_of_the_old_one_when_it_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_goes_wrong_leaves_the_old_file_and_no_draft(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_folder_is_removed_after_the_new_one_has_its_place(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    for text in ("old", "new"):
        with replacing_folder(folder) as draft:
            (draft / "file").write_text(text)
    assert (folder / "file").read_text() == "new" and list(tmp_path.iterdir()) == [folder]
    with replacing_folder(folder) as draft:
        monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    assert {path.name for path in tmp_path.iterdir()} == {"model", ".model.old"}
