"""The public API for training and evaluating a Keras model with a method and a policy."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_metamixup.core.metrics import Evaluation
from tf_metamixup.export import model_card
from tf_metamixup.export import saved_model as exporting
from tf_metamixup.models.checks import check_trainable
from tf_metamixup.runs.fingerprint import fingerprint
from tf_metamixup.runs.summary import summary
from tf_metamixup.training import arguments, initial_weights, loop
from tf_metamixup.training.evaluation import DATA_NAMES
from tf_metamixup.training.learner import Learner


class Trainer(Learner):
    """Trains a Keras classifier with a method and an interpolation policy.

    The model's variables decide where training runs: build it inside
    `tf.distribute.MirroredStrategy().scope()` for several GPUs.

    >>> import keras
    >>> model = keras.Sequential([keras.Input([4]), keras.layers.Dense(3)])
    >>> trainer = Trainer(model, policy="beta(per_sample=True)")
    >>> trainer.predict(np.eye(4, dtype="float32")).shape
    (4, 3)
    >>> sorted(trainer.evaluate(tf.data.Dataset.from_tensors((tf.eye(4), [0, 1, 2, 0]))))
    ['ece', 'error', 'error_macro', 'loss']

    Args:
        model: a built `keras.Model` that returns logits [N, classes].
        method: `name(option=value)` or an instance; see `tmm.methods.names()`.
        policy: the same; see `tmm.policies.names()`.
        learning_rate: a number or a Keras schedule of the step; by default 0.1, or 0.001 with Adam.
        optimizer: "sgd" or "adam", for the real step.
        momentum: momentum of SGD.
        weight_decay: coefficient of the coupled L2 gradient, in the real step only.
        weight_decay_on: "all" trainable variables or "kernels".
        seed: seed of all random numbers drawn in training.
        preprocess: a function from the images of the data sets to the model's input; it becomes
            part of the exported model.
        class_names: names of the classes, for the export; numbers by default.
        row_groups: number of groups within which pairs are drawn; by default one per replica. N
            groups on one device compute what N replicas would.
        mixed_bfloat16: whether label guessing and the real step compute in bfloat16.
        meta_bfloat16: whether the meta stage does, in which lambda is learned.
        jit: whether each step is compiled into one program with XLA, on one replica.
        unfreeze_at: the fraction of the run during which the layer named "body" is frozen; call
            that layer with `training=False` if it has BatchNorm.
        ema: decay of an exponential moving average of the weights, which is then evaluated,
            selected and exported; None leaves that to the method.
        mix_until: the fraction of the run after which mixing stops: lambda is 1, and is not learned
            any longer.
        label_smoothing: the fraction of each labelled image's target that is spread evenly over all
            classes; the targets of meta and test images are unchanged.

    Raises:
        UserError: the model is not built, ends in a softmax or has losses of its own, such as
            regularizers; an unknown name or option; a method or model that does not go with
            `mixed_bfloat16` or `meta_bfloat16`; more than one replica with `jit`.
    """

    _run_dir: str | os.PathLike | None = None  # that of `fit`

    def fit(
        self,
        labelled,
        *,
        unlabelled=None,
        meta=None,
        audited=None,
        validation=None,
        test=None,
        steps: int,
        run_dir: str | os.PathLike,
        epoch_steps: int | None = None,
        verbose: int = 1,
        summarize: bool = True,
        **plan,
    ) -> dict[str, Any]:
        """Trains up to `steps` steps in total, resuming the run in `run_dir` if there is one.

        A new run starts from the model's current weights. Use one Trainer per run: another
        `run_dir` needs a new Trainer.

        Args:
            labelled: a `tf.data.Dataset` of global batches (images, labels), or one of our
                streams. Labels, here and below, are integers [n] or [n, 1], or probabilities or
                one-hot integers [n, classes]. It is repeated as often as needed, and a resumed run
                skips what it has seen, so its order should be a function of a seed. Shapes that it
                leaves open are those of the model's input.
            unlabelled: batches of images [n, H, W, C], or [n, V, H, W, C] with as many views as the
                method needs; optionally with true labels, used only for metrics, -1 where unknown.
            meta: finite batches like `labelled`, for policies that learn; policies that cache
                features (`meta` by default) keep all of them in memory.
            audited: a `data.Audited`, the checked images of method `audit`; `labelled` then is one
                of our streams.
            validation: finite batches (images, labels), evaluated at epoch ends as `val_error`,
                ...; the first batch is also read before the first step.
            test: the same, as `test_error`, ....
            steps: total number of steps of the run.
            run_dir: directory for checkpoints, logs and the result.
            epoch_steps: steps per epoch; by default 1,000, or `steps` where that is less.
            verbose: 0 prints only warnings; 1 also the progress and a summary.
            summarize: whether the summary is printed.
            **plan: see `plan.Plan`: `max_steps`, `log_every`, `evaluate_every`,
                `checkpoint_every`, `diagnostics`, `pictures`, `select`, `patience`; `callbacks` of
                Keras, called as training and its epochs begin and end; `settings`, `labels_used`,
                and what else `data.streams` gives, such as `dataset`, a name for reports.

        Returns:
            The content of `result.json`.

        Raises:
            UserError: data that is missing or that the model does not take, a run directory of
                another run, a new run after steps of another one, a loss that is not finite, ...
            Interrupted: SIGTERM or SIGINT was received; a checkpoint has been saved.
        """
        check_trainable(self.model, self.network.trainable)
        initial_weights.check(self, run_dir)
        self._run_dir = run_dir
        steps, epoch_steps = arguments.lengths(steps, epoch_steps)
        data = {"labelled": labelled, "unlabelled": unlabelled, "meta": meta}
        graphs = self.graphs(**data, audited=audited, epoch_steps=epoch_steps, steps=steps)
        given = {"val": validation, "test": test}
        evaluated = {part: batches for part, batches in given.items() if batches is not None}
        for part, batches in evaluated.items():
            graphs.scales[DATA_NAMES[part]] = self.evaluator.check(batches, DATA_NAMES[part])
        if evaluated and not plan.keys() & {"settings", "dataset", "data"}:
            plan["data"] = lambda: fingerprint([*evaluated.values()][-1])
        try:
            result = loop.fit(
                self, graphs, evaluated, run_dir, steps, epoch_steps, shown=verbose > 0, **plan
            )
        finally:
            if self.steps_taken:
                initial_weights.remember(self.model)
        if verbose and summarize and self.workers.chief:
            # `predict` reads image files, whose pixels are uint8.
            more = "" if self._stored.dtype == tf.uint8 else ", from_pixels=FUNCTION"
            print(summary(result, run_dir, export=f"trainer.export({{!r}}{more})"))
        return result

    def evaluate(self, test: Iterable) -> dict[str, float]:
        """Returns test error, loss and calibration of the current weights.

        Args:
            test: finite batches (images, labels).

        Returns:
            `error`, `error_macro` (the mean over classes) and, with more than 10 classes,
            `error_top5` in percent; `loss`; `ece`, the expected calibration error in percent.
        """
        return self.evaluator.scores(test)

    def measure(self, test: Iterable, between=None, name: str = "test") -> Evaluation:
        """Evaluates like `evaluate`, and returns all that `Evaluator.measure` does."""
        return self.evaluator.measure(test, between, name)

    def predict(self, images) -> np.ndarray:
        """Returns the class probabilities [N, classes] predicted with the current weights.

        Args:
            images: in the format of the training images, [N, H, W, C]; held in memory.
        """
        return self.evaluator.predict(images)

    def export(
        self,
        folder: str | os.PathLike,
        command: str | None = None,
        *,
        from_pixels: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> None:
        """Writes a SavedModel with its model card; see `tf_metamixup.export`.

        Args:
            folder: directory to write to.
            command: command line that repeats the run, for the card.
            from_pixels: the function that made the images of `fit` from uint8 pixels; it becomes
                part of the exported model, which then takes pixels [N, H, W, C].

        Raises:
            UserError: the folder cannot be written.
        """
        kind = self._stored.dtype if from_pixels is None else tf.uint8
        stored = tf.TensorSpec(self._stored.shape, kind)
        card = self.card(command, stored=stored)
        exporting.export(self.network, folder, stored, self.class_names, card, from_pixels)

    def card(self, command: str | None = None, litert: dict | None = None, stored=None) -> str:
        """Returns the model card of the current weights; see `card.markdown`.

        It includes what `fit` recorded, if these are the weights that `fit` ended with.
        """
        run = None if self._run_dir is None else model_card.read_records(self._run_dir)
        # LiteRT models are made of the SavedModel that the run left, whatever these weights are.
        if run is not None and run.result["steps"] != self.steps_taken and litert is None:
            run = None
        stored = stored or self._stored
        return model_card.markdown(
            self.hyper_parameters,
            classes=self.class_names,
            image=f"{stored.dtype.name} [N, {', '.join(map(str, stored.shape[1:]))}]",
            parameters=self.parameters,
            averaged=self.network.averaged,
            run=run,
            command=command,
            litert=litert,
        )

    @property
    def _stored(self) -> tf.TensorSpec:
        """Returns the images as they are stored, as far as is known before `fit`."""
        return self.image or tf.TensorSpec(self.model.input_shape, tf.float32)
