import re

import numpy as np
import pytest
from scipy import stats

from tf_metamixup.core.errors import UserError
from tf_metamixup.report import comparison

BETA = "beta(per_sample=True)"


def result(policy, seed, error, **config):
    config = {"dataset": "digits", "seed": seed, "policy": policy, **config}
    return {
        "status": "finished",
        "policy": policy,
        "test_error": error,
        "steps": config.get("epochs", 1),
        "labels_used": 100,
        "config": config,
    }


def row(policy, errors, **config):
    return [result(policy, seed, error, **config) for seed, error in enumerate(errors)]


@pytest.mark.filterwarnings("error")
def test_equal_differences_have_no_interval():
    reported = comparison.against(BETA, row(BETA, [10.0, 12.0]) + row("meta", [10.1, 12.1]))
    assert "| +0.10 | no interval: all equal |  |" in reported
    assert "Comparisons: 0" in reported


def test_a_difference_is_that_of_the_same_seeds_with_students_interval():
    reported = comparison.against(
        BETA, row(BETA, [10.0, 12.0, 20.0]) + row("meta", [9.0, 10.5, 19.5])
    )
    differences = np.array([-1.0, -1.5, -0.5])
    half = stats.t.ppf(0.975, 2) * differences.std(ddof=1) / np.sqrt(3)
    assert (
        f"| `meta` | 100 | 1 | 3 | 13.00 | -1.00 | {-1 - half:+.2f} to {-1 + half:+.2f} | no |"
        in reported
    )
    assert f"| `{BETA}` | 100 | 1 | 3 | 14.00 | reference |  |  |" in reported
    assert "Comparisons: 1, each at 95 %, uncorrected." in reported


def test_labels_that_were_not_counted_are_left_empty():
    runs = [each | {"labels_used": None} for each in row("none", [3.0, 4.0])]
    assert "| `none` |  | 1 | 2 | 3.50 |" in comparison.against("none", runs)


def test_rows_are_distinguished_where_the_interval_excludes_zero():
    apart = row("meta", [9.0, 11.1, 18.9]) + row("none", [11.0, 13.1, 20.9])
    reported = comparison.against(BETA, row(BETA, [10.0, 12.0, 20.0]) + apart)
    verdicts = {
        line.split("|")[1].strip(): line.split("|")[-2].strip()
        for line in reported.split("\n")
        if line.startswith("| `")
    }
    assert verdicts == {"`meta`": "lower", f"`{BETA}`": "", "`none`": "higher"}


def test_only_common_seeds_are_paired():
    reported = comparison.against(BETA, row(BETA, [10.0, 12.0]) + row("meta", [9.0, 10.0, 50.0]))
    assert "-1.50 (2 common seeds)" in reported
    assert "fewer than 2 common seeds" in comparison.against(
        BETA, row(BETA, [10.0]) + row("meta", [9.0, 10.0])
    )


def test_rows_say_what_else_they_differ_in_and_the_shortest_is_the_reference():
    runs = row(BETA, [10.0, 11.0], epochs=4) + row(BETA, [12.0, 13.5], epochs=1)
    reported = comparison.against(BETA, runs)
    assert f"| `{BETA}`, epochs 1 | 100 | 1 | 2 | 12.75 | reference |" in reported
    assert f"| `{BETA}`, epochs 4 | 100 | 4 | 2 | 10.50 | -2.25 |" in reported


def test_a_row_can_be_named_as_the_table_names_it():
    runs = row(BETA, [10.0, 11.0], epochs=4) + row(BETA, [12.0, 13.5], epochs=1)
    reported = comparison.against(f"{BETA}, epochs 4", runs)
    assert f"| `{BETA}`, epochs 4 | 100 | 4 | 2 | 10.50 | reference |" in reported
    assert "| 12.75 | +2.25 |" in reported


def test_of_several_rows_of_a_policy_the_one_of_fewer_labels_is_the_reference():
    more = [r | {"labels_used": 300} for r in row(BETA, [10.0, 11.0], meta_source="train")]
    few = [r | {"steps": 9} for r in row(BETA, [12.0, 13.5], meta_source="heldout")]
    assert "meta_source heldout | 100 | 9 | 2 | 12.75 | reference" in comparison.against(
        BETA, more + few
    )


def test_choices_and_test_images_are_apart():
    runs = row(BETA, [10.0, 11.0]) + row(BETA, [20.0, 21.0], evaluate_on="unused")
    reported = comparison.against(BETA, runs)
    assert (
        "**digits, test images**" in reported and "**digits, unused training images**" in reported
    )


def test_validation_and_test_images_are_apart():
    tested = row(BETA, [10.0, 11.0], test_fraction=0.2)
    validated = [each | {"test_error": None, "val_error": 5.0} for each in row(BETA, [1.0, 2.0])]
    reported = comparison.against(BETA, tested + validated)
    assert "**digits, validation images**" in reported and "10.50 | reference" in reported


def test_a_policy_that_is_the_whole_name_of_a_row_elsewhere_is_still_found_by_policy():
    lone = row(BETA, [30.0, 31.0], dataset="cifar10")
    pair = row(BETA, [10.0, 11.0], epochs=4) + row(BETA, [12.0, 13.5], epochs=1)
    reported = comparison.against(BETA, lone + pair)
    assert "**cifar10, test images**" in reported
    assert f"| `{BETA}`, epochs 1 | 100 | 1 | 2 | 12.75 | reference |" in reported


def test_unfinished_runs_are_left_out_and_a_policy_that_is_not_there_is_reported():
    runs = [r | {"status": "stopped"} for r in row("meta", [9.0, 9.0])]
    with pytest.raises(UserError, match="no finished run has the policy meta"):
        comparison.against("meta", runs + row(BETA, [10.0, 11.0]))


def test_a_name_that_is_no_policy_is_answered_with_the_rows_that_there_are():
    with pytest.raises(UserError, match=r"unknown policy 'own'.*; rows here: beta"):
        comparison.against("own(0.7)", row(BETA, [10.0, 11.0]))


def test_a_data_set_without_the_reference_is_left_out_with_a_line():
    (only,) = row("none", [1.0])
    other = [only | {"config": only["config"] | {"dataset": "mnist"}}]
    message = f"left out, since no row there is {re.escape(BETA)}: mnist"
    with pytest.warns(UserWarning, match=message):
        reported = comparison.against(BETA, row(BETA, [10.0, 12.0]) + other)
    assert "mnist" not in reported
