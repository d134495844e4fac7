import pytest

from tf_metamixup import methods, models, policies
from tf_metamixup.report import paper

CELLS = paper.cells()


def test_there_are_as_many_cells_as_numbers_in_the_paper():
    counts = {table: sum(cell.table == table for cell in CELLS) for table in range(1, 6)}
    assert counts == {1: 60, 2: 40, 3: 50, 4: 8, 5: 8}


def test_no_two_cells_of_a_table_are_one():
    places = [(cell.table, cell.row, cell.column) for cell in CELLS]
    assert len(set(places)) == len(places)


def test_settings_are_in_their_canonical_spelling():
    for cell in CELLS:
        for name, parse in (
            ("method", methods.parse),
            ("policy", policies.parse),
            ("architecture", models.parse),
        ):
            assert str(parse(cell.settings[name])) == cell.settings[name]


@pytest.mark.parametrize(
    ("table", "row", "column", "error", "spread"),
    [
        (1, "AdaMixUp (preact_resnet18)", "ImageNet top-5", 25.78, None),
        (1, "MetaMixUp", "Fashion", 5.15, None),
        (2, "MixUp, lambda = 0.4", "SVHN", 4.73, None),
        (3, "MixMatch", "SVHN, 500 labels", 3.79, 0.65),
        (4, "APL", "CIFAR-10, 1K labels", 24.36, 0.62),
        (5, "sigma_d = 0.1", "SVHN, 1K labels", 5.55, None),
    ],
)
def test_numbers_stand_in_their_place(table, row, column, error, spread):
    (cell,) = [c for c in CELLS if (c.table, c.row, c.column) == (table, row, column)]
    assert (cell.error, cell.spread) == (error, spread)
    assert cell.metric == ("test_error_top5" if column.endswith("top-5") else "test_error")


@pytest.mark.parametrize(
    ("mode", "method", "policy", "name"),
    [
        ("sl", "supervised", "none", "Baseline"),
        ("ssl", "supervised", "none", "Supervised-Only"),
        ("ssl", "pseudo_label(decay=0.05, period=5)", paper.META, "MetaMixUp + APL"),
        ("ssl", "vat(entropy=0.06, epsilon=1.0)", "none", "VAT + EM"),
        (
            "ssl",
            "mixmatch(ramp=0.4)",
            "meta(alpha=0.75, estimator='nested')",
            "MixMatch + MetaMixUp",
        ),
        ("ssl", "mixmatch(temperature=1.0)", "none", None),
        ("sl", "supervised", "meta", None),
    ],
)
def test_a_pair_has_the_papers_name_at_any_size_of_run(mode, method, policy, name):
    assert paper.row_name(mode, method, policy) == name


@pytest.mark.parametrize(
    ("mode", "method", "policy", "name"),
    [
        ("sl", "supervised", "meta", "MetaMixUp, cached features"),
        ("sl", "supervised", paper.LITERAL, "MetaMixUp, to the letter"),
        ("ssl", "pseudo_label(decay=0.05)", "meta", "MetaMixUp + APL, cached features"),
        ("ssl", "mixmatch", "meta(alpha=0.75)", "MixMatch + MetaMixUp, cached features"),
        ("sl", "supervised", paper.META, "MetaMixUp"),
        ("sl", "supervised", "meta(shuffle=True)", None),
        (None, "Supervised()", "Meta()", None),
    ],
)
def test_rows_beside_the_papers_have_names_of_their_own(mode, method, policy, name):
    assert paper.display_name(mode, method, policy) == name


def test_stand_ins_are_in_their_canonical_spelling():
    for policy, (stands_in_for, _) in paper.VARIANTS.items():
        assert str(policies.parse(policy)) == policy
        assert str(policies.parse(stands_in_for)) == stands_in_for
