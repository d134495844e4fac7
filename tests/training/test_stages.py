"""The stages of a run: what trains, and whether lambda is still learned."""

import math

import numpy as np
import pytest

from tests import tiny
from tests.outcome import result_of
from tests.training.stand_in import Device, fit
from tf_metamixup import policies
from tf_metamixup.training.feature_cache import FeatureCache
from tf_metamixup.training.progress import ProgressBar
from tf_metamixup.training.stages import Stages
from tf_metamixup.training.step import Recipe

STEPS, STOP = 10, 8


def stages(policy="meta", mix_until=0.8, unfreeze_at=None, steps=STEPS):
    recipe = Recipe(*[None] * 6)._replace(policy=policies.make(policy), mix_until=mix_until)
    return Stages(recipe, (3,), unfreeze_at, steps)


@pytest.mark.parametrize(("policy", "mix_until"), [("meta", 1.0), ("beta", 0.8), ("none", 1.0)])
def test_a_run_that_learns_lambda_to_its_end_or_never_has_one_stage(policy, mix_until):
    made = stages(policy, mix_until)
    assert not made.changes
    assert made.steps_until_change(0) == math.inf
    assert {made.at(step) for step in range(STEPS)} == {0}
    assert made.recipe(0).policy == policies.make(policy)


def test_a_policy_that_learns_lambda_gives_way_once_mixing_has_stopped():
    made = stages()
    assert list(made.changes) == [STOP]
    assert [made.steps_until_change(step) for step in (0, STOP - 1, STOP)] == [STOP, 1, math.inf]
    assert str(made.recipe(made.at(STOP - 1)).policy) == str(policies.make("meta"))
    assert made.recipe(made.at(STOP)).policy == policies.make("none")


@pytest.mark.parametrize(
    ("unfreeze_at", "trained"), [(0.5, [(3,), None, None]), (0.9, [(3,), (3,), None])]
)
def test_the_body_is_unfrozen_before_mixing_stops_or_after(unfreeze_at, trained):
    made = stages(unfreeze_at=unfreeze_at)
    firsts = [0, *sorted(made.changes)]
    assert firsts == sorted([0, STOP, round(STEPS * unfreeze_at)])
    assert [made.recipe(first).trained for first in firsts] == trained
    assert [made.reads_meta(first) for first in firsts] == [first < STOP for first in firsts]


def test_where_the_body_is_unfrozen_as_mixing_stops_both_are_said():
    made = stages(unfreeze_at=0.8)
    assert list(made.changes) == [STOP]
    assert "the body trains too, and lambda is 1" in made.changes[STOP]
    assert made.recipe(made.at(STOP)).trained is None and not made.reads_meta(made.at(STOP))


def ended(folder, stops=(None,)):
    """The weights after a run whose mixing stopped, fitted in as many calls as it has `stops`."""
    for stop in stops:
        made = tiny.trainer(mix_until=0.8)
        plan = {"steps": STEPS, "epoch_steps": 5, "max_steps": stop, "diagnostics": True}
        made.fit(**tiny.streams(), test=tiny.test_set(), run_dir=folder, **plan)
    return tiny.weights(made)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of an uninterrupted run, and its weights."""
    folder = tmp_path_factory.mktemp("run")
    return folder, ended(folder)


def test_leaving_the_meta_stage_out_changes_no_number(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Stages, "reads_meta", lambda self, stage: True)
    for ours, theirs in zip(run[1], ended(tmp_path), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert "from step 8 on lambda is 1, so the meta stage is left out" in capsys.readouterr().err


def test_a_run_that_was_stopped_after_mixing_ends_with_the_same_bits(run, tmp_path):
    for ours, theirs in zip(run[1], ended(tmp_path, stops=(STOP + 1, None)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_gradient_for_lambda_is_probed_only_while_it_is_learned(run):
    first, last = (entry["meta_gradient_cosine"] for entry in result_of(run[0])["history"])
    assert -1 <= first <= 1
    assert last is None


def test_cached_features_are_refreshed_only_while_lambda_is_learned(monkeypatch):
    refresh, traced = FeatureCache.refresh, []

    def noted(self, *given):
        traced.append(True)
        return refresh(self, *given)

    monkeypatch.setattr(FeatureCache, "refresh", noted)
    data = {name: tiny.streams()[name] for name in ("labelled", "meta")}
    graphs = tiny.trainer(mix_until=0.8).graphs(**data, epoch_steps=5, steps=STEPS)
    batches = graphs.batches(0)
    graphs.trace(batches, STOP)
    assert not traced
    graphs.trace(batches, STOP - 1)
    assert traced


def test_each_stage_is_announced_and_its_time_is_estimated_for_its_own_steps(
    tmp_path, monkeypatch, capsys
):
    left, device = [], Device()
    device.stages = stages(unfreeze_at=0.4, steps=25)
    monkeypatch.setattr(ProgressBar, "estimate_anew", lambda self, steps: left.append(steps))
    monkeypatch.setattr(ProgressBar, "advance", lambda *_: None)
    monkeypatch.setattr(ProgressBar, "close_epoch", lambda *_, **__: None)
    fit(tmp_path, device=device)
    assert left == [10, 10, 5]
    said = capsys.readouterr().err
    assert "from step 10 on the body trains too: building its graph, once" in said
