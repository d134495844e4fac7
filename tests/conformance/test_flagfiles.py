"""What flags/row/ says of other papers' settings is what they have (Oliver et al. 2018)."""

import pytest

from tests.conformance.test_documents import ROOT
from tests.conformance.test_launch import SIZES
from tf_metamixup import main, methods, policies
from tf_metamixup.config import DataInfo

ORIGINALS = sorted((ROOT / "flags" / "row").glob("*_original.flags"))


def config_of(name, data="cifar10"):
    examples, classes = SIZES[data]
    flagfiles = ("ssl", f"data/{data}", f"row/{name}")
    config = main.parse(["main", *(f"--flagfile={ROOT}/flags/{each}.flags" for each in flagfiles)])
    return config.resolve(data=DataInfo(classes=classes, examples=examples, flip=True))


@pytest.mark.parametrize("path", ORIGINALS, ids=lambda path: path.stem)
def test_originals_take_the_steps_of_their_papers_on_cifar10(path):
    config = config_of(path.stem)
    passed = SIZES["cifar10"][0] - config.num_meta
    passed -= 0 if config.include_labelled else config.num_labels
    steps = passed // config.batch_size * config.epochs
    published = 1_048_576 if "mixmatch" in path.stem else 500_000
    assert steps == pytest.approx(published, rel=2e-4)


@pytest.mark.parametrize(
    ("name", "images_a_step"),
    [("supervised_only", 100), ("pi_model", 50), ("mean_teacher", 50), ("vat_em", 50)],
)
def test_a_batch_of_oliver_et_al_has_100_images(name, images_a_step):
    """Half of it labelled, or all of it where nothing unlabelled is looked at."""
    config = config_of(f"{name}_original")
    looked_at = 2 if methods.make(config.method).views else 1
    assert config.batch_size == images_a_step and looked_at * images_a_step == 100


def test_entropy_weighs_what_each_code_has():
    assert methods.make(config_of("vat_em_original").method).entropy == 0.1  # Oliver et al.'s runs
    assert methods.make(config_of("vat_em").method).entropy == 0.06  # MixMatch's


def test_the_literal_row_is_that_of_equations_10_and_11():
    policy = policies.make(config_of("metamixup_literal").policy)
    assert (policy.step_size, policy.gradient_scale, policy.parametrisation) == (5.0, "mean", "raw")
    assert (policy.estimator, policy.alpha, policy.shuffle) == ("nested", 1.0, False)
