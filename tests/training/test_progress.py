"""What a run shows of its time."""

import time

import pytest

from tf_metamixup import policies
from tf_metamixup.training.progress import ProgressBar, duration, ways_to_shorten


@pytest.fixture
def said(capsys):
    """What a bar over 1,000 steps writes where each takes so many seconds."""

    def call(seconds, *, shown=True, ways=("a smaller network", "fewer epochs")):
        with ProgressBar(100, 1000, 1000, shown=shown, ways=ways) as bar:
            bar.advance(1, 0.0, "", [])
            for _ in range(40):
                bar.advance(1, seconds, "", [])
        return [line for line in capsys.readouterr().err.splitlines() if "steps take" in line]

    return call


@pytest.fixture
def clock(monkeypatch):
    """The seconds that the machine's clock shows."""
    shown = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: shown[0])
    return shown


def test_after_20_timed_steps_the_whole_time_is_estimated_once(said):
    assert said(0.4) == ["900 steps take about 6.0 min, without evaluations"]
    assert said(0.4, shown=False) == []


def test_a_minute_of_slow_steps_is_enough_for_an_estimate(capsys):
    with ProgressBar(0, 1000, 1000, shown=True) as bar:
        for _ in range(3):
            bar.advance(1, 30.0, "", [])
    assert capsys.readouterr().err.count("1,000 steps take about 8.3 h") == 1


@pytest.mark.parametrize(
    ("last_step", "left"), [(1000, "3.5 min left"), (800, "2.5 min left until step 800")]
)
def test_the_second_evaluation_says_what_is_left_with_all_that_steps_do_not_show(
    last_step, left, capsys, clock
):
    with ProgressBar(0, last_step, 1000, shown=True) as bar:
        for evaluated, seconds in [(True, 90), (False, 30), (True, 30), (True, 90)]:
            bar.advance(100, 1.0, "", [])
            clock[0] += seconds
            bar.close_epoch([], evaluated=evaluated)
    # 200 steps took a minute; the first evaluation, which builds its graph, has no say.
    assert [line for line in capsys.readouterr().err.splitlines() if " left" in line] == [
        f"about {left}, with evaluations and checkpoints"
    ]


def test_a_stage_of_longer_steps_is_estimated_anew(capsys):
    with ProgressBar(0, 500, 1000, shown=True) as bar:
        bar.advance(500, 50.0, "", [])
        bar.estimate_anew(500)
        bar.advance(20, 40.0, "", [])
    estimates = [line for line in capsys.readouterr().err.splitlines() if "steps take" in line]
    assert [line.partition(",")[0] for line in estimates] == [
        "500 steps take about 50 s",
        "500 steps take about 16.7 min",
    ]


def test_of_more_than_six_hours_it_is_said_what_would_be_shorter(said):
    assert said(24.1) == [
        "900 steps take about 6.0 h, without evaluations; shorter with a smaller network, "
        "fewer epochs"
    ]
    assert said(23.9) == ["900 steps take about 6.0 h, without evaluations"]


def test_the_time_left_does_not_contain_the_building_of_the_graph():
    with ProgressBar(0, 1000, 1000, shown=True) as bar:
        bar.start_t -= 500  # building the graph
        bar.last_print_t -= 500
        bar.advance(1, 0.0, "", [])
        bar.mininterval = 0
        for _ in range(3):
            time.sleep(0.01)
            bar.advance(1, 0.01, "", [])
        shown = bar.format_dict
    assert shown["rate"] > 1 and shown["elapsed"] < 100 and shown["n"] == 4


def test_a_gradient_that_is_not_cached_is_named_among_what_takes_long():
    cached = "--policy=meta, which caches features"
    assert cached in ways_to_shorten(policies.make("meta(estimator='nested')"))
    for policy in ("meta", "beta", "none"):
        assert cached not in ways_to_shorten(policies.make(policy))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "3 s"), (89, "89 s"), (90, "1.5 min"), (7200, "2.0 h"), (2e5, "2.3 days")],
)
def test_a_duration_is_given_in_its_largest_unit(seconds, text):
    assert duration(seconds) == text


def test_in_a_log_an_epoch_is_a_line_where_it_was_evaluated(capsys):
    with ProgressBar(0, 1000, 1000, shown=True) as bar:
        capsys.readouterr()
        for evaluated in (False, False, True):
            bar.advance(1, 1.0, "", [])
            bar.close_epoch([], evaluated=evaluated)
        assert capsys.readouterr().err.count("/1000") == 1


def test_the_last_line_has_the_error_of_its_own_epoch(capsys):
    entries = [{"test_error": 30.0}]
    with ProgressBar(0, 10, 10, shown=True) as bar:
        bar.advance(10, 1.0, "epoch 2, loss 0.5", entries)
        bar.close_epoch([*entries, {"test_error": 20.0, "val_error": 25.0}], evaluated=True)
    last = capsys.readouterr().err.splitlines()[-1]
    assert "epoch 2, loss 0.5, val error 25.00 %, test error 20.00 %" in last
