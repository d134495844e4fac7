"""Some rows that the last step mixed, and what the network says of them."""

import numpy as np
import tensorflow as tf

from tf_metamixup.core.autograph import function
from tf_metamixup.mixing import Sample


class MixedSample:
    """Keeps the sample of the last step.

    Args:
        learner: whose network is asked.

    Attributes:
        latest: of the last step, None before the first.
    """

    def __init__(self, learner):
        self._learner = learner
        self._predict = function(self._probabilities, reduce_retracing=True)
        self.latest: Sample | None = None

    def predicted(self) -> tuple[Sample, np.ndarray] | None:
        """Returns the rows as arrays, and the probabilities [n, classes] of the mixed images.

        With the current weights. None before the first step, and where the model takes no images
        [H, W, C].
        """
        if self.latest is None or len(self._learner.model.input_shape) != 4:
            return None
        probabilities = self._predict(self.latest).numpy()
        return Sample(*(each.numpy() for each in self.latest)), probabilities

    def _probabilities(self, sample):
        learner = self._learner

        def on_replica(x):
            logits = learner.network.infer(tf.cast(x, learner.model.compute_dtype))
            return tf.nn.softmax(tf.cast(logits, tf.float32))

        found = learner.strategy.run(on_replica, (sample.x,))
        return learner.strategy.experimental_local_results(found)[0]
