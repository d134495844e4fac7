"""Runs that diverge or do not learn, with a stand-in for the device."""

import numpy as np
import pytest

from tests.outcome import result_of
from tests.training.stand_in import Device, diverge, fit, saved_steps
from tf_metamixup.core.errors import UserError


def test_a_loss_that_is_not_finite_is_reported_and_the_checkpoint_before_is_kept(tmp_path):
    device = Device(step=lambda step: diverge(device, step, 14))
    with pytest.raises(UserError, match="the loss is inf at step 15; the checkpoint of step 10 is"):
        fit(tmp_path, device=device)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-0000000010"]
    result = result_of(tmp_path)
    assert (result["status"], len(result["history"])) == ("failed", 1)
    assert "the loss is inf at step 15" in result["error"]
    # A run that is started again finds its checkpoint, and fails alike.
    device = Device(step=lambda step: diverge(device, step, 14))
    with pytest.raises(UserError, match="the loss is inf at step 15"):
        fit(tmp_path, device=device)


def test_a_loss_that_is_not_finite_in_the_first_epoch_leaves_no_checkpoint(tmp_path):
    device = Device(step=lambda step: diverge(device, step, 3))
    with pytest.raises(UserError, match="the loss is inf at step 4; there is no checkpoint yet"):
        fit(tmp_path, device=device)
    result = result_of(tmp_path)
    assert (result["status"], result["test_error"], result["history"]) == ("failed", None, [])


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    """The loss of a step is that of the weights before it."""
    device = Device(trained=lambda step: diverge(device, step, 20))
    with pytest.raises(UserError, match="the weights are not finite after step 20; the checkpoint"):
        fit(tmp_path, device=device)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-0000000010"]


def test_weights_that_are_not_finite_when_a_signal_comes_are_not_saved_either(tmp_path, terminate):
    def trained(step):
        diverge(device, step, 8)
        if step == 8:
            terminate()

    device = Device(trained=trained)
    with pytest.raises(UserError, match="the weights are not finite after step 8"):
        fit(tmp_path, device=device)


def test_weights_that_are_not_finite_are_reported_as_often_as_losses_are_read(tmp_path):
    """Long before an epoch ends, and though the losses are finite."""
    device = Device()
    train = device.train

    def harmed(*args):
        outcome = train(*args)
        device.variables[0].assign([1, 1, np.nan, 1])
        return outcome

    device.train = harmed
    with pytest.raises(UserError, match="the weights are not finite after step 1; there is no"):
        fit(tmp_path, device=device)


class Guessing(Device):
    """Its loss is `share` of that of a guess."""

    share = 1.0

    def train(self, iterator, start_step, count):
        _, losses, rows = super().train(iterator, start_step, count)
        losses = np.full(count, self.share * np.log(self.classes))
        return {"train_loss": np.column_stack([losses, losses * 0 + 1])}, losses, rows


@pytest.mark.parametrize(
    "plan",
    [
        {"steps": 110, "epoch_steps": 55},
        {"steps": 60, "epoch_steps": 20},
        {"steps": 500, "epoch_steps": 500, "max_steps": 60},
    ],
    ids=["at an epoch's end", "of short epochs together", "where max_steps stops"],
)
def test_a_loss_that_stays_at_that_of_a_guess_is_warned_of_once(tmp_path, plan):
    with pytest.warns(
        UserWarning, match=r"ln\(3\) = 1.099.*learning rate.*warmup_steps"
    ) as reported:
        fit(tmp_path, device=Guessing(), log_every=50, **plan)
    assert len([each for each in reported if "does not learn" in str(each.message)]) == 1


def test_a_loss_below_that_of_a_guess_is_not_warned_of(tmp_path, recwarn):
    device = Guessing()
    device.share = 0.9
    fit(tmp_path, device=device, steps=60, epoch_steps=60, log_every=50)
    assert not [each for each in recwarn if "does not learn" in str(each.message)]


def test_a_test_loss_that_is_not_finite_names_the_checkpoint_that_is_kept(tmp_path, monkeypatch):
    measure = Device.measure

    def measured(self, *arguments):
        found = measure(self, *arguments)
        return found._replace(bins=np.full((15, 3), np.nan), loss_sum=np.nan)

    monkeypatch.setattr(Device, "measure", measured)
    with pytest.raises(UserError, match=r"the test loss is nan after step 10; the checkpoint of s"):
        fit(tmp_path)
    assert saved_steps(tmp_path) == [10]


class Collapsed(Device):
    """Predicts the second class for all images."""

    def measure(self, *arguments):
        found = super().measure(*arguments)
        return found._replace(confusion=np.array([[0, 1, 0], [0, 2, 0], [0, 0, 0]]))


def test_a_network_with_one_answer_for_all_images_is_warned_of_once(tmp_path):
    says = "after step 55 .* predicts 'b' for all test images"
    looked = []
    device = Collapsed(image_range=looked.append)
    with pytest.warns(UserWarning, match=says) as reported:
        fit(tmp_path, device=device, log_every=50, steps=110, epoch_steps=55)
    assert len([each for each in reported if "predicts 'b'" in str(each.message)]) == 1
    assert len(looked) == 1  # at the images, for its advice


@pytest.mark.parametrize(("device", "steps"), [(Collapsed, 40), (Device, 60)])
def test_few_steps_and_several_answers_are_not_warned_of(tmp_path, recwarn, device, steps):
    fit(tmp_path, device=device(), log_every=50, steps=steps, epoch_steps=steps)
    assert not [each for each in recwarn if "the network predicts" in str(each.message)]
