import numpy as np

from tests.figures.made import run
from tf_metamixup.figures import histogram

EDGES = np.linspace(0, 1, 3)


def lambdas(before, after):
    return {"edges": EDGES, "before": np.array(before), "after": np.array(after)}


def test_frequencies_are_shares_over_all_epochs_and_seeds():
    runs = [
        run(seed=0, lambdas=lambdas([[1, 1], [1, 1]], [[2, 0], [2, 0]])),
        run(seed=1, lambdas=lambdas([[1, 1], [1, 1]], [[1, 1], [1, 1]])),
        run(policy="beta", lambdas=lambdas([[1, 3]], [[1, 3]])),
    ]
    (axes,) = histogram.figure(runs).axes
    drawn = {patch.get_label(): patch.get_data().values.tolist() for patch in axes.patches}
    assert drawn == {
        "MixUp, 1 seed": [0.25, 0.75],
        "MetaMixUp, 2 seeds": [0.75, 0.25],
        "MetaMixUp, 2 seeds, before learning": [0.5, 0.5],
    }
