"""The small network behind the policy `meta_net`."""

import keras


class LambdaNet:
    """From what is known of a pair to the mean and log-spread of its logit, and how they learn.

    One hidden layer of tanh. The last layer starts at zero, so that lambda starts as plain MixUp
    draws it.

    Attributes:
        network: [N, 2 * classes + 3] -> [N, 2].
        optimizer: Adam.
    """

    def __init__(self, classes: int, hidden: int, learning_rate: float):
        self.network = keras.Sequential(
            [
                keras.Input([2 * classes + 3]),
                keras.layers.Dense(hidden, activation="tanh", name="hidden"),
                keras.layers.Dense(2, kernel_initializer="zeros", name="mean_and_log_spread"),
            ],
            name="lambda_net",
        )
        self.optimizer = keras.optimizers.Adam(learning_rate)
        self.optimizer.build(self.network.trainable_variables)

    @property
    def variables(self) -> list[keras.Variable]:
        """What a checkpoint holds."""
        return [*self.network.variables, *self.optimizer.variables]
