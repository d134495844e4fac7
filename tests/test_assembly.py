import pytest

from tf_metamixup.assembly import make_schedule
from tf_metamixup.config import Config


@pytest.mark.parametrize(("epochs", "epoch_steps"), [(200, 455), (10, 1)])
def test_steps_divides_the_rate_by_ten_after_30_60_and_90_percent_of_the_epochs(
    epochs, epoch_steps
):
    config = Config(mode="ssl", epochs=epochs).with_mode_defaults()
    schedule = make_schedule(config, epochs * epoch_steps)
    for number, share in enumerate((0.3, 0.6, 0.9)):
        first = round(epochs * share) * epoch_steps  # of the epoch with the new rate
        assert float(schedule(first - 1)) == pytest.approx(0.1 * 0.1**number)
        assert float(schedule(first)) == pytest.approx(0.1 * 0.1 ** (number + 1))


def test_cosine_falls_from_the_whole_rate_to_nothing():
    config = Config(learning_rate=0.2).with_mode_defaults()
    schedule = make_schedule(config, 100)
    assert float(schedule(0)) == pytest.approx(0.2)
    assert float(schedule(50)) == pytest.approx(0.1)
    assert float(schedule(100)) == pytest.approx(0, abs=1e-7)


def test_late_is_a_fifth_from_80_percent_on():
    schedule = make_schedule(Config(schedule="late").with_mode_defaults(), 500_000)
    rates = [float(schedule(step)) for step in (0, 399_999, 400_000, 499_999)]
    assert rates == pytest.approx([0.1, 0.1, 0.02, 0.02])


def test_constant_stays():
    assert make_schedule(Config(schedule="constant").with_mode_defaults(), 100) == 0.1
