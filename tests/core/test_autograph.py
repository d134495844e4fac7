"""A run builds each of its graphs once, and AutoGraph has no part in it."""

import sys

from tests import tiny


def rewritten():
    return {name for name in sys.modules if "autograph_generated" in name}


def test_a_run_traces_once_and_rewrites_nothing(tmp_path):
    trainer, made, before = tiny.trainer(policy="meta(refresh=2)"), [], rewritten()
    make = trainer.graphs
    trainer.graphs = lambda **data: made.append(make(**data)) or made[0]
    streams = {name: tiny.streams()[name] for name in ("labelled", "meta")}
    plan = {"steps": 7, "epoch_steps": 3, "log_every": 2, "diagnostics": True, "verbose": 0}
    trainer.fit(**streams, test=tiny.test_set(), run_dir=tmp_path, **plan)
    assert rewritten() == before
    functions = made[0]._train, trainer.evaluator._evaluate, made[0]._finite
    assert [each.experimental_get_tracing_count() for each in functions] == [1, 1, 1]
