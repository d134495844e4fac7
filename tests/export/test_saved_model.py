import functools
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import tf_metamixup as tmm
from tests import tiny
from tests.outcome import result_of
from tf_metamixup import experiment, main
from tf_metamixup.export import litert

# Runs where only TensorFlow is imported.
SERVE = """
import sys
import numpy as np
import tensorflow as tf

folder, images, outputs = sys.argv[1:]
serve = tf.saved_model.load(folder).signatures["serving_default"]
signature = serve.structured_input_signature[1]
assert list(signature) == ["image"], signature
assert signature["image"].dtype == tf.uint8, signature
assert signature["image"].shape.as_list() == [None, 8, 8, 1], signature
np.savez(outputs, **serve(image=tf.constant(np.load(images))))
# TensorFlow itself imports Keras.
assert not [name for name in sys.modules if name.startswith("tf_metamixup")]
"""


@pytest.mark.slow
def test_a_run_exports_what_plain_tensorflow_serves_like_the_live_model(tmp_path, monkeypatch):
    made = []

    class Kept(tmm.Trainer):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(experiment, "Trainer", Kept)
    run_dir = tmp_path / "run"
    command = ["main", "--policy=none", "--batch_size=100", "--epochs=1", f"--run_dir={run_dir}"]
    command.append("--architecture=cnn3(width=2, batch_norm=True)")
    # The export comes with a second call, which trains nothing.
    assert main.main([*command, "--noexport"]) == 0
    assert not (run_dir / "saved_model").exists()
    with monkeypatch.context() as strict:
        strict.setattr(litert, "LEAST_SAME_CLASS", 101)
        with pytest.warns(UserWarning, match=r"int8.tflite puts only [\d.]+ % of 360 images"):
            assert main.main([*command, "--litert=int8"]) == 0
    models = result_of(run_dir)["litert"]
    assert models.keys() == {"int8"}
    assert models["int8"]["same_class"] > 90
    # A further one can be asked for later, and what was there stays.
    monkeypatch.setattr(litert, "LEAST_SAME_CLASS", 0)
    assert main.main([*command, "--litert=float32"]) == 0
    result = result_of(run_dir)
    assert list(result["litert"]) == ["float32", "int8"]
    assert result["litert"]["float32"]["same_class"] == 100
    assert result["litert"]["float32"]["saved_model_error"] == pytest.approx(result["test_error"])
    for kind in ("saved_model", "litert"):
        card = (run_dir / kind / "README.md").read_text()
        assert f"| test error | {result['test_error']:.2f} % |" in card
        assert "| labelled training images | 1,337 |" in card
        assert "--policy=none" in card
        assert ("`int8.tflite`" in card) == (kind == "litert")
    labels = (run_dir / "saved_model" / "assets" / "labels.txt").read_text()
    assert labels == "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"
    assert [p.name for p in run_dir.iterdir() if p.name.startswith(".saved")] == []

    images = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1)).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    paths = [run_dir / "saved_model", tmp_path / "images.npy", tmp_path / "outputs.npz"]
    done = subprocess.run(
        [sys.executable, "-c", SERVE, *map(str, paths)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    served = np.load(tmp_path / "outputs.npz")
    assert sorted(served) == ["class_id", "logits", "probabilities"]
    for trainer in made:  # the one that trained, and the one that was restored
        logits = trainer.network.predict(tf.constant(images)).numpy()
        np.testing.assert_allclose(served["logits"], logits, atol=1e-5)
    np.testing.assert_allclose(served["probabilities"], tf.nn.softmax(logits), atol=1e-5)
    np.testing.assert_array_equal(served["class_id"], logits.argmax(axis=1))
    kinds = [served[name].dtype.name for name in ("logits", "probabilities", "class_id")]
    assert kinds == ["float32", "float32", "int64"]


def test_a_method_that_predicts_with_the_average_exports_the_average(tmp_path):
    trainer = tiny.trainer("mixmatch", "none", model=functools.partial(tiny.network, norm="plain"))
    graphs = trainer.graphs(**tiny.streams(views=2), epoch_steps=3, steps=3)
    graphs.train(graphs.batches(0), 0, 3)
    trainer.export(tmp_path / "saved_model")
    serve = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["serving_default"]
    images = tf.constant(tiny.images(5)[0])
    served = serve(image=images)["logits"]
    np.testing.assert_allclose(served, trainer.network.predict(images), atol=1e-5)
    own = trainer.model(trainer.network.preprocess(images), training=False)
    assert np.abs(served - own).max() > 1e-3
    lite = litert.runner(litert.convert(tmp_path / "saved_model"))(image=images.numpy())["logits"]
    np.testing.assert_allclose(lite, served, atol=1e-5)
    assert "an exponential average" in (tmp_path / "saved_model" / "README.md").read_text()
