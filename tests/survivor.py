"""A run with dropout as its own process: `python -m tests.survivor RUN_DIR`; tells its steps."""

import sys
import time

import keras

import tf_metamixup as tmm
from tests import tiny
from tf_metamixup.data import scale

STEPS, EPOCH_STEPS = 60, 20


class Told(tmm.Trainer):
    def train(self, iterator, first_step, count):
        done = super().train(iterator, first_step, count)
        print(first_step + count, flush=True)
        time.sleep(0.2)  # so that a signal meant for this epoch arrives in it
        return done


def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    x = image = keras.Input(tiny.SHAPE)
    x = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Dropout(0.3)(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(image, keras.layers.Dense(tiny.CLASSES)(x))


if __name__ == "__main__":
    trainer = Told(model(), "pseudo_label(threshold=0.8)", "meta", 0.05, preprocess=scale)
    trainer.fit(
        **tiny.streams(),
        test=tiny.test_set(),
        steps=STEPS,
        epoch_steps=EPOCH_STEPS,
        log_every=3,
        run_dir=sys.argv[1],
    )
