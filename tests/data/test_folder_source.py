import contextlib
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from tf_metamixup.core.errors import UserError
from tf_metamixup.data import file_source, image_files, images, sources
from tf_metamixup.data.contents import changes


def load_folder(path, **options):
    return sources.load(f"folder:{path}", **options)


def test_a_folder_of_images_is_a_data_set(folder):
    source = load_folder(folder)
    assert source.classes == ["blue", "red"]
    assert source.image_shape == (6, 5, 3)
    assert source.flip
    assert source.train.ids == ["blue/0.png", "blue/1.png", "red/0.png", "red/1.png"]
    assert source.train.labels.tolist() == [0, 0, 1, 1]
    assert source.train.images[:, 0, 0].tolist() == [[0, 0, 255]] * 2 + [[255, 0, 0]] * 2
    assert source.test.images.shape == (2, 6, 5, 3)


def test_where_reading_takes_long_a_bar_counts_the_images(folder, monkeypatch, capsys):
    load_folder(folder)
    assert "reading images" not in capsys.readouterr().err
    monkeypatch.setattr(file_source, "_SILENT_SECONDS", 0)
    load_folder(folder)
    count = sum(path.is_file() for path in folder.rglob("*"))
    assert f"{count}/{count}" in capsys.readouterr().err


def test_folder_images_of_several_sizes_become_64_by_64(folder):
    Image.new("RGB", (9, 9)).save(folder / "train" / "red" / "3.JPG")
    assert load_folder(folder).train.images.shape == (5, 64, 64, 3)


def test_folder_images_are_grey_only_if_all_are(folder):
    for path in sorted(folder.glob("*/*/*.png")):
        assert load_folder(folder).image_shape == (6, 5, 3)
        Image.open(path).convert("L").save(path)
    assert load_folder(folder).image_shape == (6, 5, 1)


def damage(folder):
    """A file that is no image, an empty one, one that breaks off; how many there are in all."""
    paths = [folder / "train/blue/0.png", folder / "train/red/1.png", folder / "test/red/9.png"]
    paths[0].write_bytes(b"no image")
    paths[1].write_bytes(b"")
    paths[2].write_bytes((folder / "test/red/0.png").read_bytes()[:50])
    return paths, len(list(folder.rglob("*.png")))


def test_corrupt_images_are_named_and_counted(folder):
    paths, count = damage(folder)
    with pytest.raises(UserError, match=f"3 of {count} images: ") as raised:
        load_folder(folder)
    for path in paths:
        assert f"cannot read the image {path}" in str(raised.value)
    assert "--corrupt_images=skip" in str(raised.value)


def test_corrupt_images_are_skipped_on_request_and_still_reported(folder):
    whole = load_folder(folder)
    paths, count = damage(folder)
    with pytest.warns(UserWarning, match=f"skipped 3 of {count} images: .*{paths[0]}"):
        source = load_folder(folder, corrupt_images="skip")
    missing = {path.relative_to(folder / "train").as_posix() for path in paths[:2]}
    assert source.train.ids == [name for name in whole.train.ids if name not in missing]
    kept = [n for n, name in enumerate(whole.train.ids) if name not in missing]
    np.testing.assert_array_equal(source.train.images, whole.train.images[kept])
    np.testing.assert_array_equal(source.train.labels, whole.train.labels[kept])


def test_a_class_of_corrupt_images_alone_is_an_error(folder):
    for path in (folder / "train" / "red").iterdir():
        path.write_bytes(b"no image")
    with (
        pytest.warns(UserWarning, match="skipped"),
        pytest.raises(UserError, match="'red' holds no image that can be read"),
    ):
        load_folder(folder, corrupt_images="skip")


def test_folders_that_cannot_be_a_data_set_say_why(folder, tmp_path):
    with pytest.raises(UserError, match=r"none/train is not a folder; folder:DIR needs DIR/train"):
        load_folder(tmp_path / "none")
    (folder / "test" / "green").mkdir()
    with pytest.raises(UserError, match=r"green holds no .png"):
        load_folder(folder)
    Image.new("RGB", (5, 6)).save(folder / "test" / "green" / "0.png")
    with pytest.raises(UserError, match=r"test has the class 'green', which .*/train lacks"):
        load_folder(folder)
    (folder / "empty" / "train").mkdir(parents=True)
    (folder / "empty" / "test").mkdir()
    with pytest.raises(UserError, match="holds no class folders"):
        load_folder(folder / "empty")


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (5, 6), "red").save(path)


def test_images_in_folders_of_a_class_are_read_and_the_rest_is_counted(folder):
    put(folder / "train" / "red" / "more" / "deep" / "3.png")
    for name in ("train/red/._0.png", "train/__MACOSX/red/0.png", "test/.trash/0.png"):
        put(folder / name)
    put(folder / "train" / "0.png")
    put(folder / "validation" / "red" / "0.png")
    (folder / "train" / "red" / "more" / "notes.txt").write_text("")
    with pytest.warns(UserWarning) as warned:
        source = load_folder(folder)
    assert source.classes == ["blue", "red"]
    assert source.train.ids[2:] == ["red/0.png", "red/1.png", "red/more/deep/3.png"]
    (line,) = (str(warning.message) for warning in warned)
    assert line.startswith("left out 6 items: ")
    for part in (
        f"3 hidden ({folder}/train/__MACOSX, ...)",
        f"1 outside the class folders ({folder}/train/0.png)",
        f"1 .txt ({folder}/train/red/more/notes.txt)",
        f"val and test (did you mean 'val'?) ({folder}/validation)",
    ):
        assert part in line


def test_a_class_without_an_image_says_what_is_there(folder):
    for path in (folder / "train" / "red").iterdir():
        path.rename(path.with_suffix(".heic"))
    with pytest.raises(UserError, match=r"train/red holds no \.png, .*left out 2 .*: 2 \.heic"):
        load_folder(folder)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_contents_tell_files_that_are_added_moved_removed_or_replaced(folder, split):
    before = load_folder(folder).contents
    assert before.keys() == {
        *("train/red/0.png", "train/red/1.png", "train/blue/0.png", "train/blue/1.png"),
        *("test/red/0.png", "test/blue/0.png"),
    }
    assert changes(before, load_folder(folder).contents) == ""
    first = folder / split / "red" / "0.png"
    first.touch()  # the same bytes at another time, as of a copy
    assert changes(before, load_folder(folder).contents) == ""
    Image.new("RGB", (5, 6), "green").save(first)
    assert changes(before, load_folder(folder).contents) == f"1 replaced ({split}/red/0.png)"
    put(folder / split / "red" / "8.png")
    (folder / split / "blue" / "0.png").rename(folder / split / "blue" / "9.png")
    reported = changes(before, load_folder(folder).contents)
    assert f"moved ({split}/blue/0.png to {split}/blue/9.png)" in reported


def test_images_keep_their_size_up_to_a_limit_and_larger_ones_are_resized_with_a_line(folder):
    for side, size in ((129, (128, 128)), (128, (100, 128))):
        for path in folder.rglob("*.png"):
            Image.new("1", (side, 100)).save(path)
        with contextlib.ExitStack() as stack:
            if side > 128:
                told = r"129 x 100 pixels are resized to 128 x 128.*--image_size"
                stack.enter_context(pytest.warns(UserWarning, match=told))
            assert load_folder(folder).image_shape == (*size, 1)


def test_images_that_memory_cannot_hold_are_refused_before_one_is_decoded(folder, monkeypatch):
    monkeypatch.setattr(image_files, "load", lambda path: pytest.fail("a file was read"))
    monkeypatch.setattr(images, "MAX_BYTES", 6 * 100**2)
    with pytest.raises(UserError, match=r"--in_memory=yes: 6 images of 101 x 101 .*_memory=no"):
        load_folder(folder, image_size=101, in_memory="yes")


def test_one_class_alone_is_reported(folder):
    for split in ("train", "test"):
        shutil.rmtree(folder / split / "blue")
    with pytest.raises(UserError, match=r"has only one class \(red\); a classifier needs two"):
        load_folder(folder)


@pytest.mark.parametrize("name", [b"caf\xe9/0.png", b"red/caf\xe9.png", b"red/caf\xe9/0.png"])
def test_names_that_are_not_utf8_are_reported(folder, name):
    for split in ("train", "test"):
        put(folder / split / os.fsdecode(name))
    with pytest.raises(UserError, match=r"2 .* names are not UTF-8, such as .*caf\\xe9") as raised:
        load_folder(folder)
    str(raised.value).encode()


def test_a_class_name_with_a_line_break_is_reported(folder):
    for split in ("train", "test"):
        put(folder / split / "a\nb" / "0.png")
    with pytest.raises(UserError, match=r"the class name 'a\\nb' has a line break"):
        load_folder(folder)


def test_one_folder_too_high_or_too_low_is_seen(folder):
    photos = folder / "photos"
    photos.mkdir()
    for split in ("train", "test"):
        (folder / split).rename(photos / split)
    for path in (folder, photos / "train", photos / "test"):
        with pytest.raises(UserError, match=f"Did you mean folder:{photos}\\?"):
            load_folder(path)


def test_classes_that_are_links_are_read_once_each(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "pictures"
    put(other / "0.png")
    (other / "again").symlink_to(other)
    for split in ("train", "test"):
        (folder / split / "green").symlink_to(other)
    with pytest.warns(UserWarning, match="linked to twice"):
        assert load_folder(folder).train.ids[2:3] == ["green/0.png"]


def test_all_parts_of_a_folder_are_read(own_folder):
    source = load_folder(own_folder)
    assert [source.train.ids[n] for n in source.unlabelled] == [
        *("unlabelled/0.png", "unlabelled/2.png", "unlabelled/deep/er/1.png")
    ]
    assert source.train.images[source.unlabelled, 1, 0].tolist() == [[0, 128, 0]] * 3
    assert [source.train.ids[n] for n in source.trusted] == [
        *("trusted/blue/trusted.png", "trusted/red/trusted.png")
    ]
    assert source.train.labels[source.trusted].tolist() == [0, 1]
    assert source.val.labels.tolist() == source.test.labels.tolist() == [0, 1]
    assert source.info[1:] == (36, True, 3, 2, True, True, (6, 5))


@pytest.mark.parametrize("part", ["unlabelled/0.png", "trusted/red/trusted.png", "val/red/val.png"])
def test_the_contents_tell_a_change_in_every_part(own_folder, part):
    before, fingerprint = load_folder(own_folder).contents, load_folder(own_folder).fingerprint
    Image.new("RGB", (5, 6), "white").save(own_folder / part)
    after = load_folder(own_folder)
    assert changes(before, after.contents) == f"1 replaced ({part})"
    assert after.fingerprint != fingerprint


def test_only_the_training_images_are_needed(folder):
    shutil.rmtree(folder / "test")
    source = load_folder(folder)
    assert (source.test, source.val, len(source.trusted)) == (None, None, 0)


@pytest.mark.parametrize("part", ["trusted", "val", "test"])
def test_a_class_that_train_lacks_is_told(own_folder, part):
    put(own_folder / part / "green" / "0.png")
    with pytest.raises(UserError, match=f"{part} has the class 'green', which .*/train lacks"):
        load_folder(own_folder)


def test_a_part_without_a_class_is_told_in_a_line(own_folder):
    shutil.rmtree(own_folder / "trusted" / "red")
    with pytest.warns(UserWarning, match="trusted has no image of red, so the meta set has none"):
        load_folder(own_folder)


def test_an_empty_folder_of_unlabelled_images_is_told(own_folder):
    shutil.rmtree(own_folder / "unlabelled")
    (own_folder / "unlabelled").mkdir()
    with pytest.raises(UserError, match=r"unlabelled holds no \.png.* or remove the folder"):
        load_folder(own_folder)


def test_classes_whose_names_are_nearly_the_same_are_named(folder):
    for name in ("Red", "re\u0301d", "r\u00e9d"):
        shutil.copytree(folder / "train" / "red", folder / "train" / name)
    with pytest.warns(UserWarning, match="names are nearly the same") as caught:
        load_folder(folder)
    (line,) = (str(w.message) for w in caught if "nearly the same" in str(w.message))
    assert "'Red' and 'red'" in line and r"'re\u0301d' and 'r\xe9d'" in line


def test_a_part_that_is_no_folder_is_refused(folder):
    shutil.rmtree(folder / "test")
    (folder / "test").symlink_to(folder / "gone")
    with pytest.raises(UserError, match="test is not a folder, or a link to none"):
        load_folder(folder)


def test_a_part_of_which_no_file_can_be_read_counts_as_missing(folder):
    for path in (folder / "test").rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.warns(UserWarning, match="test has no image of"):
        assert load_folder(folder, corrupt_images="skip").test is None


def test_a_folder_that_cannot_be_listed_is_reported(folder, monkeypatch):
    with pytest.raises(UserError, match="x/train is not a folder"):
        load_folder("x" * 300)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(folder), "iterdir", refuse)
    with pytest.raises(UserError, match=r"cannot list .*/train: Permission denied"):
        load_folder(folder)
