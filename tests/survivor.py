"""A run with dropout as its own process, which tells its steps and ends with its best weights.

    python -m tests.survivor RUN_DIR [FAULT]

FAULT is `writing=N`, which tells "writing" and waits at the Nth place inside checkpoint writing;
`evaluating=N`, which tells "evaluating" and waits in the Nth evaluation, from 0; `disturbed`,
whose time of day jumps by a day, forwards and back, from call to call, and whose operations are
TensorFlow's deterministic ones, which is no fault; or `export`, which is none either: that run
exports the weights that it ends with.
"""

import itertools
import math
import sys
import time
import traceback

import keras
import tensorflow as tf

import tf_metamixup as tmm
from tests import tiny
from tf_metamixup.data import scale
from tf_metamixup.runs import checkpoints
from tf_metamixup.runs.recorder import Recorder
from tf_metamixup.training import run_log
from tf_metamixup.training.graphs import Graphs

STEPS, EPOCH_STEPS = 60, 20
# Checksums of four files and seven flushes to disk: places in the writing of one checkpoint, of
# which the last one comes when it has its name.
PLACES = 11


def tell_steps() -> None:
    """Lets each call of a training graph print the steps taken so far."""
    train = Graphs.train

    def reported(self, iterator, start_step, count):
        done = train(self, iterator, start_step, count)
        print(start_step + count, flush=True)
        time.sleep(0.2)  # so that a signal meant for this epoch arrives in it
        return done

    Graphs.train = reported


def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    x = image = keras.Input(tiny.SHAPE)
    x = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Dropout(0.3)(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(image, keras.layers.Dense(tiny.CLASSES)(x))


def wait_in_writing(place: int) -> None:
    """Lets the run wait for ever at the `place`th checksum or flush inside `Checkpoints.save`."""
    reached = itertools.count()

    def waiting(function):
        def called(path):
            saving = any(frame.name == "save" for frame in traceback.extract_stack())
            if saving and next(reached) == place:
                print("writing", flush=True)
                time.sleep(600)
            return function(path)

        return called

    checkpoints._sha256 = waiting(checkpoints._sha256)
    checkpoints._flush = waiting(checkpoints._flush)


def wait_in_evaluation(number: int) -> None:
    """Lets the run wait for ever in the `number`th evaluation."""
    reached, measure = itertools.count(), tmm.Trainer.measure

    def measured(self, *arguments):
        if next(reached) == number:
            print("evaluating", flush=True)
            time.sleep(600)
        return measure(self, *arguments)

    tmm.Trainer.measure = measured


def jump_clock() -> None:
    """Lets every other look at the time of day show yesterday or tomorrow."""
    true, shifts = time.time, itertools.cycle([0, 86_400, 0, -86_400])
    time.time = lambda: true() + next(shifts)


if __name__ == "__main__":
    Recorder.pictures = lambda *_: None  # which take most of the time
    run_log.MAX_SECONDS_UNSAVED = math.inf  # a slow machine writes no more checkpoints than others
    run_dir, *fault = sys.argv[1:]
    if fault == ["disturbed"]:
        jump_clock()
        tf.config.experimental.enable_op_determinism()
    elif fault and fault != ["export"]:
        place, number = fault[0].split("=")
        {"writing": wait_in_writing, "evaluating": wait_in_evaluation}[place](int(number))
    tell_steps()
    trainer = tmm.Trainer(model(), "pseudo_label(threshold=0.8)", "meta", 0.05, preprocess=scale)
    trainer.fit(
        **tiny.streams(),
        # Labels that a better network is more often wrong about: the first epoch is the best.
        validation=tiny.test_set().map(lambda images, labels: (images, (labels + 1) % 3)),
        test=tiny.test_set(),
        select="best",
        steps=STEPS,
        epoch_steps=EPOCH_STEPS,
        log_every=3,
        run_dir=run_dir,
        summarize=False,
    )
    if fault == ["export"]:
        trainer.export(f"{run_dir}/saved_model")
