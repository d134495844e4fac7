import gc
import os

# Before TensorFlow is imported: two logical devices stand in for two GPUs, and no start-up chatter.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

from pathlib import Path

import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


from tf_metamixup.runs.recorder import Recorder  # noqa: E402

draw_pictures = Recorder.pictures


@pytest.fixture(scope="session", autouse=True)
def no_pictures():
    """Draws nothing for TensorBoard, which takes most of the time of a tiny run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "pictures", lambda *_: None)
        yield


def pytest_collection_modifyitems(items):
    """Long files first, so that no process is left with one at the end: the slow, all pairs."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def shortness(item):
        all_pairs = item.path.name in ("test_properties.py", "test_jit.py")
        return item.path not in slow, not all_pairs, -item.path.stat().st_size

    items.sort(key=shortness)


def pytest_collection_finish():
    """Lets the garbage collector look rarely: tracing makes many objects, nearly all to stay."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 10, 10)


@pytest.fixture(scope="module", autouse=True)
def no_garbage():
    """Frees what the tests of a file left behind."""
    yield
    gc.collect()


@pytest.fixture
def float64():
    """Keras in double precision for one test: equality of devices shows below rounding."""
    import keras

    def precision(name):
        keras.config.set_floatx(name)
        keras.config.set_dtype_policy(name)

    precision("float64")
    yield
    precision("float32")


@pytest.fixture
def real_data():
    """Where the real fashion_mnist and cifar10 lie, prepared by TFDS."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "tfds"
    folder = Path(os.environ.get("TFDS_DATA_DIR") or beside)
    for name in ("fashion_mnist", "cifar10"):
        if not (folder / name).is_dir():
            pytest.skip(f"needs {name} prepared by TFDS in {folder} (TFDS_DATA_DIR)")
    return str(folder)


def finished(policy, folder):
    """The run directory of a run on a few digits, which nobody may change."""
    from tf_metamixup import experiment, main

    flags = [
        *("--architecture=cnn3(width=2, features=2)", "--train_examples=60", "--num_meta=20"),
        *("--batch_size=20", "--epochs=2", "--noexport", f"--policy={policy}"),
        *("--log_every=1", "--evaluate_every=1", f"--run_dir={folder / policy}"),
        *(["--diagnostics"] if policy == "meta" else []),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "pictures", draw_pictures)
        main.train(experiment.canonical(main.parse(["main", *flags])))
    return folder / policy


@pytest.fixture(scope="session")
def finished_mixup(tmp_path_factory):
    """The run directory of a finished MixUp run."""
    return finished("beta", tmp_path_factory.mktemp("finished", numbered=False))


@pytest.fixture(scope="session")
def finished_pair(finished_mixup):
    """A folder with the run directories `beta` and `meta` of two finished runs."""
    return finished("meta", finished_mixup.parent).parent
