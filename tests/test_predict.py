import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests import tiny
from tf_metamixup import predict
from tf_metamixup.data import image_files, scale
from tf_metamixup.export.saved_model import export
from tf_metamixup.models.network import Network

NAMES = ["dark", "medium", "größer"]


def exported(folder, shape=tiny.SHAPE, dtype=tf.uint8, names=NAMES):
    network = Network(tiny.network(), scale)
    export(network, folder, tf.TensorSpec([None, *shape], dtype), names, "")
    return network


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """(folder of a SavedModel, its network)."""
    folder = tmp_path_factory.mktemp("predict") / "saved_model"
    return folder, exported(folder)


@pytest.fixture
def photos(tmp_path):
    """A folder with a grey image, a larger one in colour below, and two that cannot be read.

    Beside them lie files that are no images.
    """
    pixels, _ = tiny.images(2)
    (tmp_path / "photos" / "more").mkdir(parents=True)
    Image.fromarray(pixels[0, ..., 0]).save(tmp_path / "photos" / "b.png")
    Image.fromarray(pixels[1].repeat(3, axis=2)).resize((20, 9)).save(
        tmp_path / "photos" / "more" / "c.JPG"
    )
    (tmp_path / "photos" / "a.jpeg").write_text("not an image")
    Image.fromarray(np.full((6, 6), 400.0, np.float32)).save(tmp_path / "photos" / "deep.tif")
    (tmp_path / "photos" / "notes.txt").write_text("no suffix of an image")
    return tmp_path / "photos"


@pytest.fixture
def run(capsys):
    def call(*arguments):
        code = predict.main(["predict", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err

    return call


def test_images_of_a_folder_are_predicted_and_those_that_cannot_be_read_are_reported(
    run, model, photos, monkeypatch
):
    monkeypatch.setattr(predict, "BATCH", 3)
    folder, network = model
    with pytest.warns(UserWarning, match=rf"left out 1 .*: 1 \.txt \({photos}/notes.txt\)"):
        code, lines, err = run(folder, photos)
    assert code == 1
    assert err == "error: 2 of 4 images could not be read\n"
    names = [line["file"].removeprefix(f"{photos}/") for line in lines]
    assert names == ["a.jpeg", "b.png", "deep.tif", "more/c.JPG"]
    assert "cannot read the image" in lines[0]["error"]
    assert "8 bits" in lines[2]["error"]
    for line in (lines[1], lines[3]):
        image = image_files.read(line["file"], tiny.SHAPE)
        expected = tf.nn.softmax(network.predict(image[None]))[0].numpy()
        assert line["probabilities"].keys() == set(NAMES)
        found = [line["probabilities"][name] for name in NAMES]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert line["class_id"] == expected.argmax()
        assert line["class"] == NAMES[expected.argmax()] == next(iter(line["probabilities"]))
        assert line["probability"] == max(found)


def test_links_to_files_and_folders_are_followed_and_circles_end(run, model, photos, tmp_path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "file.png").symlink_to(photos / "b.png")
    (inbox / "folder").symlink_to(photos / "more")
    (photos / "more" / "back").symlink_to(inbox)
    with pytest.warns(UserWarning, match="1 linked to twice"):
        code, lines, _ = run(model[0], inbox)
    assert code == 0
    assert [line["file"] for line in lines] == [f"{inbox}/file.png", f"{inbox}/folder/c.JPG"]
    _, (line,), _ = run(model[0], inbox / "file.png")
    assert (line["file"], line["class"]) == (lines[0]["file"], lines[0]["class"])


def test_top_names_only_the_most_likely(run, model, photos):
    code, (line,), err = run("--top=2", model[0], photos / "b.png")
    assert (code, err) == (0, "")
    first, second = line["probabilities"].values()
    assert first == line["probability"] >= second


def test_files_that_are_not_there_and_folders_without_images_do_not_stop_the_rest(
    run, model, photos, tmp_path
):
    (tmp_path / "empty").mkdir()
    code, lines, _ = run(model[0], photos / "no.png", tmp_path / "empty", photos / "b.png")
    assert code == 1
    assert "No such file" in lines[0]["error"]
    assert "holds no .png, .jpg, .jpeg" in lines[1]["error"]
    assert "class" in lines[2]


@pytest.mark.parametrize("arguments", [[], ["saved_model"], ["--nosuch"], ["a", "b", "--top=0"]])
def test_bad_command_lines_are_reported(run, arguments):
    code, lines, err = run(*arguments)
    assert (code, lines) == (2, [])
    assert err.startswith("error: ")


def test_a_folder_that_is_no_saved_model_is_reported(run, photos):
    code, lines, err = run(photos, photos)
    assert (code, lines) == (1, [])
    assert err.startswith(f"error: {photos} is not a SavedModel")


def test_a_damaged_saved_model_is_reported(run, photos, tmp_path):
    exported(tmp_path / "model")
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"\xff" * 40)
    code, _, err = run(tmp_path / "model", photos)
    assert code == 1
    assert err.startswith("error: cannot load the SavedModel")


def test_a_saved_model_of_somebody_else_is_reported(run, photos, tmp_path):
    other = tf.Module()
    other.serve = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None])])
    for name, signatures in (("none", None), ("other", {"serving_default": other.serve})):
        tf.saved_model.save(other, str(tmp_path / name), signatures=signatures)
        code, _, err = run(tmp_path / name, photos)
        assert code == 1
        assert "has no signature 'serving_default' from `image`" in err


def test_images_that_were_no_uint8_and_names_that_do_not_fit_are_reported(run, photos, tmp_path):
    exported(tmp_path / "float", dtype=tf.float32)
    code, _, err = run(tmp_path / "float", photos)
    assert code == 1
    assert "takes float32 (None, 6, 6, 1)" in err
    assert "trainer.export(FOLDER, from_pixels=FUNCTION)" in err
    for names in (["a", "b"], ["a", "b", "b"]):
        exported(tmp_path / "names", names=names)
        code, _, err = run(tmp_path / "names", photos)
        assert code == 1
        assert "must name each of the 3 classes once" in err


def test_a_model_of_scaled_images_predicts_where_their_scaling_was_exported(run, photos, tmp_path):
    trainer = tiny.trainer("supervised", "none", preprocess=None)  # takes float32 in [-1, 1]
    trainer.export(tmp_path / "model", from_pixels=scale)
    code, (line,), _ = run(tmp_path / "model", photos / "b.png")
    assert code == 0
    pixels = image_files.read(photos / "b.png", tiny.SHAPE)
    expected = trainer.predict(scale(pixels[None]))[0]
    np.testing.assert_allclose(list(line["probabilities"].values()), sorted(expected)[::-1], 1e-5)
    assert "uint8 [N, 6, 6, 1]" in (tmp_path / "model" / "README.md").read_text()


def test_it_starts_without_the_code_that_trains(model, photos):
    """TFDS alone takes seconds to load."""
    import subprocess
    import sys

    program = (
        "import sys\nfrom tf_metamixup import predict\n"
        "code = predict.main(sys.argv)\n"
        "heavy = {'tensorflow_datasets', 'tf_metamixup.training'}\n"
        "assert code == 0 and not heavy & sys.modules.keys()"
    )
    command = [sys.executable, "-c", program, str(model[0]), str(photos / "b.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout)["class"] in NAMES
