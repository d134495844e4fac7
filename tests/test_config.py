import dataclasses
import re

import pytest

from tf_metamixup import methods, models, policies
from tf_metamixup.config import Config, DataInfo
from tf_metamixup.core.errors import UserError


def config(**settings):
    return Config(**settings).resolve()


@pytest.mark.parametrize(
    ("flag", "registry"),
    [
        ("method", methods.METHODS),
        ("policy", policies.POLICIES),
        ("architecture", models.MODELS),
    ],
)
def test_the_help_of_a_flag_names_everything_registered(flag, registry):
    (field,) = (field for field in dataclasses.fields(Config) if field.name == flag)
    named = re.findall(r"\w+", field.metadata["help"])
    own = [n for n, m in registry._makers.items() if m.__module__.startswith("tf_metamixup.")]
    assert own and not set(own) - set(named)


def test_the_modes_have_the_papers_defaults():
    sl = config(dataset="cifar10")
    assert (sl.method, sl.policy, sl.architecture) == (
        "supervised",
        "meta(estimator='nested')",
        "preact_resnet18",
    )
    assert (sl.epochs, sl.batch_size, sl.schedule, sl.shift) == (600, 128, "cosine", 0)
    ssl = config(dataset="cifar10", mode="ssl")
    assert (ssl.method, ssl.architecture) == ("pseudo_label(decay=0.05)", "wrn_28_2")
    assert (ssl.epochs, ssl.batch_size, ssl.schedule, ssl.shift) == (200, 100, "steps", 2)
    for each in (sl, ssl):
        assert (each.learning_rate, each.momentum, each.weight_decay) == (0.1, 0.9, 1e-4)


def test_what_is_given_is_kept():
    given = config(mode="ssl", epochs=3, method="supervised", architecture="wrn_28_2", shift=0)
    assert (given.epochs, given.method, given.architecture, given.shift) == (
        3,
        "supervised",
        "wrn_28_2",
        0,
    )


@pytest.mark.parametrize(
    "dataset", ["digits", "mnist", "fashion_mnist", "mnist:3.0.1", "fashion_mnist/config"]
)
def test_small_images_get_the_small_network(dataset):
    assert config(dataset=dataset).architecture == "cnn3"


@pytest.mark.parametrize(
    ("dataset", "mode", "classes", "examples", "num_meta", "num_labels"),
    [
        ("cifar10", "sl", 10, 50_000, 1000, None),
        ("cifar10", "ssl", 10, 50_000, 500, 4000),
        ("cifar10:3.0.2", "ssl", 10, 50_000, 500, 4000),
        ("cifar10/config:1.*.*", "ssl", 10, 50_000, 500, 4000),
        ("svhn_cropped", "ssl", 10, 73_257, 500, 1000),
        ("cifar100", "ssl", 100, 50_000, 500, 10_000),
        ("digits", "ssl", 10, 1437, 100, 100),
        ("folder:flowers", "sl", 5, 300, 30, None),
        ("folder:flowers", "sl", 5, 20, 5, None),  # at least one a class
    ],
)
def test_the_data_decide_the_meta_set_and_the_labels(
    dataset, mode, classes, examples, num_meta, num_labels
):
    filled = config(dataset=dataset, mode=mode).resolve(
        data=DataInfo(classes=classes, examples=examples, flip=True)
    )
    assert (filled.num_meta, filled.num_labels, filled.flip) == (num_meta, num_labels, True)


def test_without_augmentation_nothing_is_changed():
    data = DataInfo(classes=10, examples=1000, flip=True)
    bare = config(mode="ssl", augment="none").resolve(data=data)
    assert (bare.flip, bare.shift) == (False, 0)
    for settings in ({"flip": True}, {"shift": 1}):
        with pytest.raises(UserError, match="--augment=none leaves images as they are"):
            config(augment="none", **settings)


def test_the_default_run_directory_names_data_mode_row_and_seed():
    assert config(seed=3).run_dir == "runs/digits-sl-supervised-meta_estimator_nested-seed3"
    named = config(dataset="folder:../a b", mode="ssl", policy="beta(1.0)").run_dir
    assert named == "runs/folder_.._a_b-ssl-pseudo_label_decay_0.05_period_0.15_-beta_1.0-seed0"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "xl"}, "--mode=xl must be one of sl, ssl"),
        ({"schedule": "linear"}, "--schedule=linear must be one of cosine, steps, late, constant"),
        ({"weight_decay_on": "bias"}, "--weight_decay_on=bias must be one of all, kernels"),
        ({"meta_source": "test"}, "--meta_source=test must be one of heldout, train"),
        ({"epochs": 0}, "--epochs=0 must be at least 1"),
        ({"max_steps": -1}, "--max_steps=-1 must be at least 1"),
        ({"shift": -1}, "--shift=-1 must be at least 0"),
        ({"seed": 2**32}, r"--seed=4294967296 must lie in"),
        ({"seed": -1}, "--seed=-1 must lie in"),
        (
            {"optimizer": "adam", "momentum": 0.5},
            "--momentum=0.5 applies to --optimizer=sgd, and adam has no",
        ),
        ({"learning_rate": 0.0}, "--learning_rate=0.0 must be a positive number"),
        ({"learning_rate": float("nan")}, "--learning_rate=nan must be a positive number"),
        ({"weight_decay": -1.0}, "--weight_decay=-1.0 must be a number of at least 0"),
        ({"dataset": "folder:caf\udce9"}, r"--dataset=b'folder:caf\\xe9' is not UTF-8"),
        ({"run_dir": "runs/\udcff"}, "--run_dir=.* is not UTF-8"),
        ({"momentum": 1.0}, r"--momentum=1.0 must lie in \[0, 1\)"),
        (
            {"dataset": "folder:photos", "data_dir": "/d"},
            "--data_dir=/d is for TFDS data sets, and --dataset=folder:photos says itself",
        ),
        ({"in_memory": "no"}, "--in_memory=no is for --dataset=folder:DIR and table:FILE"),
        ({"corrupt_images": "skip"}, "--corrupt_images=skip is for --dataset=folder:DIR"),
        ({"imbalance": 0.5}, "--imbalance=0.5 must be a number of at least 1"),
        ({"num_labels": 10}, "--num_labels=10 requires --mode=ssl"),
        ({"include_labelled": True}, "--include_labelled requires --mode=ssl"),
        ({"labelled_classes": 6}, "--labelled_classes=6 requires --mode=ssl"),
        (
            {"labelled_classes": 6, "mode": "ssl", "imbalance": 5.0},
            "--labelled_classes=6 cannot be combined with --imbalance=5.0",
        ),
        ({"unlabelled_ratio": 7}, "--unlabelled_ratio=7 requires --mode=ssl"),
        ({"replicas": 3}, "--batch_size=128 is global and must be divisible by --replicas=3"),
        ({"jit": True, "replicas": 2}, "jit compiles a step for one device.* 2 replicas"),
        ({"row_groups": 3}, "--row_groups=3 must be a multiple of --replicas=1 and divide"),
        ({"row_groups": 2, "replicas": 4}, "--row_groups=2 must be a multiple of --replicas=4"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(settings, message):
    with pytest.raises(UserError, match=message):
        config(**settings)


def test_all_settings_but_eleven_make_two_runs_the_same():
    free = {
        "run_dir",
        "max_steps",
        "log_every",
        "evaluate_every",
        "checkpoint_every",
        "diagnostics",
        "pictures",
        "export",
        "litert",
        "data_dir",
        "in_memory",
    }
    names = {field.name for field in dataclasses.fields(Config)}
    assert config().identity().keys() == names - free
    # Which epochs are evaluated decides which is the best, and when patience ends.
    for selects in ({"select": "best"}, {"patience": 2}):
        assert config(**selects).identity().keys() == names - free | {"evaluate_every"}


def test_the_default_learning_rate_is_that_of_the_optimizer():
    assert config(optimizer="adam").learning_rate == 0.001
    assert config(optimizer="adam", learning_rate=0.1).learning_rate == 0.1
    with pytest.raises(UserError, match="--optimizer=rmsprop must be one of sgd, adam"):
        config(optimizer="rmsprop")


@pytest.mark.parametrize(("ratio", "rows"), [(1, 10), (3, 3)])
def test_few_unlabelled_images_of_ones_own_make_a_small_batch(ratio, rows):
    info = DataInfo(classes=3, examples=300, flip=True, size=(20, 40), unlabelled=10)
    own = Config(dataset="folder:photos", mode="ssl", unlabelled_ratio=ratio).resolve()
    assert own.resolve(replicas=1, data=info).batch_size == rows


def test_the_devices_there_are_are_settings_of_the_run():
    config = Config().resolve().resolve(replicas=4)
    assert (config.replicas, config.row_groups) == (4, 4)
    assert Config(row_groups=8).resolve().resolve(replicas=4).row_groups == 8


def test_a_batch_that_the_devices_cannot_share_is_reported():
    with pytest.raises(UserError, match=r"--batch_size=128 .*--replicas=3"):
        Config().resolve().resolve(replicas=3)


def test_images_of_ones_own_get_a_run_that_ends_and_train_on_every_label():
    info = DataInfo(classes=3, examples=300, flip=True, size=(20, 40))
    own = Config(dataset="folder:photos", mode="sl").resolve().resolve(replicas=1, data=info)
    assert (own.policy, own.meta_source) == ("beta(per_sample=True)", "train")
    assert own.architecture == "cnn3(width=32, batch_norm=True, average_pool=True)"
    assert (own.shift, own.flip) == (1, True)
    assert own.epochs * info.examples // own.batch_size == 3000
    many = Config(dataset="table:photos.csv", mode="ssl").resolve()
    many = many.resolve(replicas=1, data=info._replace(unlabelled=3000))
    assert (many.policy, many.epochs) == ("beta(per_sample=True)", 50)
    assert many.method == "pseudo_label(decay=0.05, period=0.15)"
    assert own.method == "supervised"
    trusting = Config(dataset="folder:photos", mode="sl", trusted_share=0.2).resolve()
    assert trusting.meta_source == "heldout"
    assert Config(dataset="cifar10", mode="sl").resolve().meta_source == "heldout"


@pytest.mark.parametrize(
    ("side", "examples", "width", "steps"),
    [
        (8, 300, 32, 3000),
        (40, 10_000, 32, 3000),
        (41, 20_000, 16, 10_000),
        (128, 500_000, 16, 30_000),
    ],
)
def test_size_and_number_of_images_of_ones_own_decide_network_and_length(
    side, examples, width, steps
):
    info = DataInfo(classes=3, examples=examples, flip=True, size=(9, side))
    own = Config(dataset="folder:photos").resolve().resolve(replicas=1, data=info)
    assert own.architecture == f"cnn3(width={width}, batch_norm=True, average_pool=True)"
    assert own.epochs * examples / own.batch_size == pytest.approx(steps, rel=0.2)


@pytest.mark.parametrize(
    ("replicas", "gpus", "examples", "batch_size"),
    [
        (1, False, 300, 50),
        (4, False, 300, 48),
        (1, True, 300, 128),
        (2, True, 900, 256),
        (2, True, 300, 150),
        (1, False, 30, 15),
    ],
)
def test_the_devices_decide_the_batch_of_images_of_ones_own(replicas, gpus, examples, batch_size):
    info = DataInfo(classes=3, examples=examples, flip=True)
    for given, batch in ((None, batch_size), (20, 20)):
        own = Config(dataset="folder:photos", batch_size=given).resolve()
        own = own.resolve(replicas=replicas).resolve(gpus=gpus, data=info)
        assert own.batch_size == batch
