import numpy as np
import pytest

from tests import tiny
from tf_metamixup import methods
from tf_metamixup.core.errors import UserError


def test_the_average_is_what_is_evaluated_exported_and_resumed(tmp_path):
    def fit(folder, **plan):
        trainer = tiny.trainer("supervised", "none", ema=0.5)
        data = tiny.streams()
        data = {name: data[name] for name in ("labelled", "meta")}
        plan = {"steps": 6, "epoch_steps": 3, "test": tiny.test_set()} | plan
        return trainer, trainer.fit(**data, run_dir=tmp_path / folder, **plan)

    trainer, result = fit("whole")
    assert result["averaged"] == 0.5
    assert "an exponential average over the steps before (decay 0.5)" in trainer.card()
    images, _ = tiny.images(5)
    answers = trainer.predict(images)
    averages = [np.asarray(v) for v in trainer.network.averages]
    fit("halves", max_steps=3)
    resumed, again = fit("halves")
    assert again["test_loss"] == result["test_loss"]
    for one, other in zip(resumed.network.averages, averages, strict=True):
        np.testing.assert_array_equal(one, other)
    for variable, value in zip(trainer.model.trainable_variables, averages, strict=True):
        assert (np.asarray(variable) != value).any()
        variable.assign(value)
    logits = trainer.model(trainer.network.preprocess(images)).numpy()
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(answers, probabilities, rtol=1e-5)


@pytest.mark.parametrize(
    ("method", "ema", "expected"),
    [
        ("supervised", None, (None, False)),
        ("supervised", 0.9, (0.9, True)),
        ("mean_teacher", None, (0.95, False)),
        ("mean_teacher", 0.95, (0.95, True)),
        ("mixmatch", None, (0.999, True)),
    ],
)
def test_the_setting_or_the_method_decides_what_is_averaged(method, ema, expected):
    assert methods.averaging(methods.make(method), ema) == expected


@pytest.mark.parametrize(
    ("method", "ema", "message"),
    [
        ("supervised", 1.0, "must lie in"),
        ("mean_teacher", 0.9, "ema=0.95 evaluates that one"),
        ("mixmatch", 0.9, "set its option `decay`"),
    ],
)
def test_a_second_average_is_refused(method, ema, message):
    with pytest.raises(UserError, match=message):
        methods.averaging(methods.make(method), ema)
