"""FreeMatch (Wang et al. 2023), with the values of microsoft/Semi-supervised-learning."""

import dataclasses

import tensorflow as tf

from tf_metamixup import losses
from tf_metamixup.core import schedules
from tf_metamixup.distribution import replicas
from tf_metamixup.methods.guessing import Guessing, check_guessing, running_mean
from tf_metamixup.methods.method import METHODS, Ratio, guess_metrics, over_batch


@METHODS.register("freematch")
@dataclasses.dataclass(frozen=True)
class FreeMatch(Guessing):
    """Changes FixMatch: its threshold follows the network's confidence, class by class.

    tau, a running mean of the largest probability on weak views, is the threshold of the class that
    is predicted most; that of class c is tau p(c) / max p, with p the running mean of predictions.
    A fairness term spreads the predictions on accepted strong views over the classes: see
    `unfairness`, which is minimized.

    Attributes:
        weight: w_u (1).
        fairness: w_f (0.01).
        decay: lambda of the running means (0.999); of the thresholds' less in the first steps, see
            `schedules.warmed_up`.
        pool: whether labelled and unlabelled images mix with each other.
    """

    weight: float = 1.0
    fairness: float = 0.01
    decay: float = 0.999
    pool: bool = False

    def __post_init__(self):
        check_guessing("freematch", self.weight, fairness=self.fairness, decay=self.decay)

    def memory(self, classes):
        """Returns tau, p, and what `unfairness` compares: all 1/C."""
        each = ("p", "predicted", "answers")
        return {"tau": 1 / classes, **{name: [1 / classes] * classes for name in each}}

    def weigh(self, probs, forward, clock):
        """Returns 1 where the largest probability reaches the threshold of its class."""
        confidence, answer = tf.reduce_max(probs, axis=-1), tf.argmax(probs, axis=-1)
        soon = schedules.warmed_up(self.decay, clock.step)
        # Not soon: a class that was never the answer would have all the weight of `unfairness`.
        means = {
            "tau": (confidence, soon),
            "p": (probs, soon),
            "predicted": (probs, self.decay),
            "answers": (tf.one_hot(answer, probs.shape[-1]), self.decay),
        }
        new = {
            name: running_mean(forward.memory[name], tf.reduce_mean(values, axis=0), decay)
            for name, (values, decay) in means.items()
        }
        threshold = new["tau"] * new["p"] / tf.reduce_max(new["p"])
        reached = tf.cast(confidence, threshold.dtype) >= tf.gather(threshold, answer)
        return tf.cast(reached, probs.dtype), new

    def loss(self, forward, mixture, batch, clock):
        """Computes cross-entropy over B and the fairness term, and metrics of both."""
        examples, logits = mixture.examples, self.logits(forward, mixture)
        each = losses.cross_entropy(mixture.y, logits)
        labelled_and_guessed = over_batch(examples.weight * each, batch)
        accepted = examples.guessed & examples.accepted
        unfairness = self.unfairness(tf.nn.softmax(logits), accepted, examples.memory)
        share = 1 / replicas.count()
        return labelled_and_guessed + self.fairness * share * unfairness, {
            "threshold": Ratio(examples.memory["tau"]),
            "unfairness": Ratio(unfairness),
            **guess_metrics(examples),
        }

    def unfairness(self, probs, accepted, memory) -> tf.Tensor:
        """Computes sum_c w(c) log v(c), the negative cross-entropy of w and v; a scalar.

        Args:
            probs: of all rows [N, C].
            accepted: bool [N], the rows that count.
            memory: after this step; w is predicted / answers, v the same of these rows, both
                normalized.
        """
        counts = tf.cast(accepted, probs.dtype)[:, None]
        answers = tf.one_hot(tf.argmax(probs, axis=-1), probs.shape[-1], dtype=probs.dtype)
        rows, p, answers = replicas.total(
            [tf.reduce_sum(counts * each, 0) for each in (tf.ones_like(counts), probs, answers)]
        )
        v = tf.math.divide_no_nan(p, answers)  # none of a class that is never the answer
        # The mean of a class that has not been the answer for 86,000 steps is 0 in float32.
        w = tf.cast(tf.math.divide_no_nan(memory["predicted"], memory["answers"]), probs.dtype)
        spread = tf.math.log(tf.math.divide_no_nan(v, tf.reduce_sum(v)) + 1e-12)
        return tf.where(rows[0] > 0, tf.reduce_sum(w / tf.reduce_sum(w) * spread), 0.0)
