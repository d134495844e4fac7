"""`python -m tf_metamixup.main`: flags -> Config -> data, model, Trainer -> run directory."""

import contextlib
import dataclasses
import os
import shlex
import signal
import sys
import tempfile
import typing
import warnings
from collections.abc import Callable, Collection

from absl import flags

from tf_metamixup.cli import BAD_FLAGS, FAILED, FINISHED, read_flags
from tf_metamixup.config import (
    CORRUPT_IMAGES,
    DECAYED,
    EVALUATED,
    LITERT,
    META_SOURCES,
    MODES,
    NOT_IDENTITY,
    OPTIMIZERS,
    SCHEDULES,
    Config,
)
from tf_metamixup.core import keras_backend
from tf_metamixup.core.errors import BackendError, UnknownNameError, UserError
from tf_metamixup.core.signals import Interrupted

# Flag, help; type and default are the Config field's. "by mode" and the like: see the docstring
# of Config and docs/cli.md.
GROUPS = {
    "data": {
        "dataset": "digits, mnist, fashion_mnist, svhn_cropped, cifar10, cifar100, imagenet2012, "
        "any other TFDS image-classification name, or folder:DIR (DIR/train/CLASS/*.png|jpg, "
        "DIR/test/CLASS/...)",
        "data_dir": "where TFDS data lies or goes; by default TFDS_DATA_DIR, else TFDS's own",
        "image_size": "side that images of varying size are brought to",
        "corrupt_images": "of folder:DIR: stop at image files that cannot be read, or skip them",
        "num_labels": "labelled training images in --mode=ssl, class-balanced; by default 4000 for "
        "cifar10, 1000 for svhn_cropped, 100 for digits, else 100 a class",
        "num_meta": "images of the meta set, class-balanced; by default 1000 (sl) or 500 (ssl), "
        "a tenth of the training set at most; 100 for digits",
        "meta_source": "heldout (nobody trains on the meta images) or train",
        "include_labelled": "whether the unlabelled images contain the labelled ones",
        "train_examples": "cap on what is left after the meta set is taken out",
        "evaluate_on": "test images, or as many unused training images, to choose settings by",
        "flip": "random mirroring; by default where the data set allows it",
        "shift": "random translation in pixels; by default 0 (sl) or 2 (ssl)",
    },
    "row": {
        "mode": "sl or ssl: the paper's defaults (section IV.B) for all other flags",
        "method": "name, name(value) or name(option=value, ...): supervised, adamixup, "
        "manifold_mixup, and with --mode=ssl pseudo_label, pi_model, mean_teacher, vat, mixmatch",
        "policy": "where lambda comes from: none, fixed(c), beta(a), meta; the paper's MetaMixUp "
        "is meta(estimator='nested')",
        "architecture": "cnn3, preact_resnet18, preact_resnet34, wrn_28_10, wrn_28_2, resnet50, or "
        "cnn3(width=32, batch_norm=False, features=None), wrn(depth=16, width=2), "
        "preact_resnet(depth=18)",
    },
    "training": {
        "epochs": "passes over the training images; over the unlabelled ones in ssl",
        "batch_size": "global; in ssl as many labelled and unlabelled images a step",
        "learning_rate": "initial learning rate",
        "schedule": "cosine, steps (a tenth after 30, 60 and 90 % of the run), late (a fifth after "
        "80 %) or constant",
        "warmup_steps": "steps over which the learning rate rises linearly; by default 100 for "
        "networks without normalization layers, else 0",
        "optimizer": "sgd or adam, of the real step",
        "momentum": "of SGD",
        "weight_decay": "coefficient of the coupled L2 gradient",
        "weight_decay_on": "all trainable variables, or kernels only",
        "seed": "decides split, initial weights, order, augmentation and lambda",
    },
    "devices": {
        "replicas": "data-parallel replicas of this process; by default all GPUs, else 1. With no "
        "GPU, so many logical CPU devices. TF_CONFIG in the environment makes this process one "
        "worker of a job (docs/distributed.md)",
        "deterministic": "use TensorFlow's deterministic operations, so that a GPU repeats every "
        "bit too, at some speed; an operation that has none is an error",
        "mixed_bfloat16": "compute label guessing and the real step in bfloat16; weights and meta "
        "stage stay in float32. Not with vat, adamixup and manifold_mixup",
        "jit": "let TensorFlow's compiler XLA make one program of each step, on one replica; "
        "results differ by rounding from those without. For GPUs, not measured there; a CPU "
        "takes about twice as long",
        "row_groups": "pairs are drawn within so many row groups; by default one a replica",
    },
    "run": {
        "run_dir": "everything of the run goes there, and the same command again resumes it; by "
        "default runs/<dataset>-<mode>-<row>-seed<k>",
        "initial_weights": "run directory of another run: a new run starts from the weights that "
        "its newest checkpoint holds (averaged ones where that run evaluates those), and with "
        "its BatchNorm statistics",
        "max_steps": "stop after so many steps in all; can be resumed",
        "export": "write a SavedModel at the end",
        "litert": "make LiteRT models (.tflite) of it and check them against it: none, float32, "
        "int8 or both",
        "log_every": "steps between two log entries",
        "evaluate_every": "epochs between two evaluations; by default as often as looks at no more "
        "test images than were trained on in between",
        "checkpoint_every": "epochs between two checkpoints",
    },
}
CHOICES = {
    "mode": MODES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "weight_decay_on": DECAYED,
    "meta_source": META_SOURCES,
    "corrupt_images": CORRUPT_IMAGES,
    "evaluate_on": EVALUATED,
    "litert": tuple(LITERT),
}


def define_flags(values: flags.FlagValues, names: Collection[str] | None = None) -> None:
    """One flag for each field of Config, or for those in `names`, of its type and default."""
    fields = {field.name: field for field in dataclasses.fields(Config)}
    for group, helps in GROUPS.items():
        for name, text in helps.items():
            if names is not None and name not in names:
                continue
            field = fields[name]
            kinds = typing.get_args(field.type) or (field.type,)
            common = {"flag_values": values, "module_name": group}
            if name in CHOICES:
                parser = flags.EnumParser(CHOICES[name])
            elif bool in kinds:
                flags.DEFINE_boolean(name, field.default, text, **common)
                continue
            elif int in kinds:
                parser = flags.IntegerParser()
            elif float in kinds:
                parser = flags.FloatParser()
            else:
                parser = flags.ArgumentParser()
            flags.DEFINE(
                parser, name, field.default, text, serializer=flags.ArgumentSerializer(), **common
            )


def config_of(values: flags.FlagValues) -> Config:
    """The Config that the flags in `values` make, with the defaults of its mode.

    Raises:
        UserError: a value that is not allowed.
    """
    names = [name for helps in GROUPS.values() for name in helps if name in values]
    config = Config(**{name: values[name].value for name in names})
    if config.data_dir is None:
        config = dataclasses.replace(config, data_dir=os.environ.get("TFDS_DATA_DIR"))
    return config.with_mode_defaults()


def parse(argv: list[str]) -> Config:
    """The Config of a command line; `--help` prints and exits.

    Raises:
        UserError: an unknown flag, or a value that is not allowed.
    """
    values = flags.FlagValues()
    define_flags(values)
    read_flags(values, argv, __doc__)
    return config_of(values)


def canonical(config: Config) -> Config:
    """`config` with method, policy and architecture in their canonical spelling.

    Raises:
        UserError: an unknown name or option.
    """
    from tf_metamixup import methods, models, policies

    method, policy = methods.make(config.method), policies.make(config.policy)
    policies.check(policy, learned_elsewhere=method.learns_lambda)
    if config.mixed_bfloat16:
        methods.check_precision(method)
    if method.views and config.mode == "sl":
        raise UserError(
            f"--method={config.method} learns from unlabelled images too, and --mode=sl has none; "
            "use --mode=ssl"
        )
    return dataclasses.replace(
        config,
        method=str(methods.parse(config.method)),
        policy=str(policies.parse(config.policy)),
        architecture=str(models.parse(config.architecture)),
    )


def train(config: Config) -> dict | None:
    """Loads the data, builds the model, trains, exports.

    Returns:
        The content of `result.json` on the worker that writes it, else None.
    """
    import tensorflow as tf

    from tf_metamixup.distribution.strategy import make_strategy
    from tf_metamixup.experiment import assemble
    from tf_metamixup.training import initial_weights

    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    assembly = assemble(config, make_strategy(config.replicas))
    config, source = assembly.config, assembly.source
    prepared, trainer = assembly.prepared, assembly.trainer
    workers = trainer.workers
    if config.litert != "none":
        with workers.together():
            if workers.chief:
                _require_litert(trainer, source)
    if config.initial_weights is not None:
        initial_weights.load(trainer, config)
    identity = config.identity()
    result = trainer.fit(
        **assembly.training,
        test=prepared.test,
        steps=assembly.steps,
        epoch_steps=prepared.epoch_steps,
        run_dir=config.run_dir,
        max_steps=config.max_steps,
        log_every=config.log_every,
        evaluate_every=config.evaluate_every,
        checkpoint_every=config.checkpoint_every,
        settings=identity,
        recorded={k: v for k, v in dataclasses.asdict(config).items() if k not in identity},
        splits=prepared.splits.named(source.train.ids),
        contents=source.contents,
        labels_used=prepared.labels_used(trainer.policy.reads_meta),
        data=_own_data(source),
    )
    # Not of a finished run whose checkpoints someone has removed: these weights are not its own.
    exported = result["status"] == "finished" and trainer.steps_taken == result["steps"]
    with workers.together():
        if workers.chief and config.export and exported:
            _export(config, trainer, source, prepared, result)
    return result if workers.chief else None


def _own_data(source) -> Callable[[], str] | None:
    """A checksum of a folder's images, since its name says little; None of a published data set."""
    from tf_metamixup.runs.fingerprint import fingerprint

    if not source.name.startswith("folder:"):
        return None
    return lambda: fingerprint((part.images, part.labels) for part in (source.train, source.test))


def command_of(config: Config) -> list[str]:
    """The command line that repeats a run: each setting that is not the default.

    Args:
        config: canonical, with its data defaults filled in.
    """
    default = canonical(Config(dataset=config.dataset, mode=config.mode).with_mode_defaults())
    words = ["python", "-m", "tf_metamixup.main", f"--dataset={config.dataset}"]
    words.append(f"--mode={config.mode}")
    for name, value in dataclasses.asdict(config).items():
        # How many devices share a run makes no other run of it; the row groups do.
        if value == getattr(default, name) or name in (*NOT_IDENTITY, "replicas"):
            continue
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no{name}")
        else:
            words.append(f"--{name}={value}")
    return words


def _require_litert(trainer, source) -> None:
    import tensorflow as tf

    from tf_metamixup.export import litert

    with tensorflow_start():
        image = tf.TensorSpec([None, *source.image_shape], tf.uint8)
        litert.require_convertible(trainer.network, image)


def _export(config: Config, trainer, source, prepared, result: dict) -> None:
    """Writes what the finished run has not left behind yet; see `export` and `litert`."""
    from tf_metamixup.runs.directory import RunDirectory

    folder = RunDirectory(config.run_dir)
    command = shlex.join(command_of(config))
    if not folder.saved_model.exists():
        trainer.export(folder.saved_model, command)
    there = result.get("litert", {}) if folder.litert.exists() else {}
    wanted = [each for each in LITERT["both"] if each in {*LITERT[config.litert], *there}]
    if wanted != list(there):
        result["litert"] = _export_litert(wanted, trainer, source, prepared, folder, command)
        folder.write_json("result.json", result)


def _export_litert(precisions, trainer, source, prepared, folder, command: str) -> dict[str, dict]:
    """Writes the LiteRT models and their card; what `litert.check` found, by precision."""
    import numpy as np

    from tf_metamixup.data.pipeline import test_batches
    from tf_metamixup.export import litert

    some = litert.spread(prepared.splits.labelled, litert.REPRESENTATIVE_IMAGES)
    tested = litert.spread(np.arange(len(source.test)), litert.TEST_IMAGES)
    models, checks = {}, {}
    with tensorflow_start():
        images = np.concatenate([x for x, _ in test_batches(source.train.keep(some), 100)])
        batches = test_batches(source.test.keep(tested), 100)
        for precision in precisions:
            given = images if precision == "int8" else None
            models[precision] = litert.convert(folder.saved_model, given)
            checks[precision] = litert.check(folder.saved_model, models[precision], batches)
    if "int8" in checks:
        checks["int8"]["representative_images"] = len(images)
    litert.write(folder.litert, models, trainer.class_names, trainer.card(command, litert=checks))
    for precision, check in checks.items():
        if check["same_class"] < litert.LEAST_SAME_CLASS:
            warnings.warn(
                f"{folder.litert}/{precision}.tflite puts only {check['same_class']:.2f} % of "
                f"{check['images']} test images into the class of the SavedModel; it is kept, and "
                f"its {litert.CARD} says so",
                stacklevel=2,
            )
    return checks


def describe(result: dict, run_dir: str) -> str:
    """What is printed at the end of a run."""
    error = result.get("test_error")
    lines = [
        f"{result['status']}: {result['steps']} steps, test error "
        + (f"{error:.2f} % (last epoch)" if error is not None else "not evaluated"),
        f"  result       {run_dir}/result.json",
    ]
    if os.path.isdir(f"{run_dir}/tensorboard"):
        lines.append(f"  TensorBoard  tensorboard --logdir {run_dir}/tensorboard")
    if os.path.isdir(f"{run_dir}/saved_model"):
        lines.append(f"  SavedModel   {run_dir}/saved_model")
    for precision, check in result.get("litert", {}).items():
        lines.append(
            f"  LiteRT       {run_dir}/litert/{precision}.tflite (the class of the SavedModel on "
            f"{check['same_class']:.2f} % of {check['images']} test images)"
        )
    if result["status"] == "stopped":
        lines.append("  the same command with a larger --max_steps, or without it, goes on")
    return "\n".join(lines)


def _settled(config: Config) -> Config:
    """`config` in canonical spelling; TensorFlow starts here, once the flags have been read."""
    keras_backend.require_tensorflow()
    with tensorflow_start():
        import tensorflow as tf

        tf.config.list_physical_devices("GPU")
    return canonical(config)


def measure(parse_flags: Callable[[], tuple], run: Callable[..., None]) -> int:
    """The exit code of a command that measures something on this machine.

    Args:
        parse_flags: () -> (settings, ...), told before TensorFlow starts if it fails.
        run: takes what `parse_flags` gave, its settings in canonical spelling.
    """
    try:
        try:
            config, *rest = parse_flags()
            config = _settled(config)
        except BackendError as error:
            print(f"error: {error}", file=sys.stderr)
            return FAILED
        except UserError as error:
            print(f"error: {error}\n(--help lists all flags)", file=sys.stderr)
            return BAD_FLAGS
        try:
            run(config, *rest)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return FAILED
    except KeyboardInterrupt:
        return 130
    return FINISHED


@contextlib.contextmanager
def tensorflow_start():
    """Hides what TensorFlow prints as it loads, looks for GPUs or converts, unless that fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Else every step on a CPU gives its memory back to the kernel and takes it again, which costs
    # as much as the arithmetic (measured: 155 ms against 80 ms for a small network).
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
    with tempfile.TemporaryFile() as hidden:
        stderr = os.dup(2)
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except UserError:  # which says what there is to say
            raise
        except Exception:
            hidden.seek(0)
            os.write(stderr, hidden.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit code."""

    def stop(signum, frame):
        del frame
        raise Interrupted(signum)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)
    try:
        try:
            config = _settled(parse(argv))
        except BackendError as error:
            print(f"error: {error}", file=sys.stderr)
            return FAILED
        except UserError as error:
            print(f"error: {error}\n(--help lists all flags)", file=sys.stderr)
            return BAD_FLAGS
        try:
            result = train(config)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return BAD_FLAGS if isinstance(error, UnknownNameError) else FAILED
    except Interrupted as interrupted:
        print(
            f"stopped by {interrupted}; what was done is saved, and the same command goes on",
            file=sys.stderr,
        )
        return 128 + interrupted.signum
    if result is not None:
        print(describe(result, config.run_dir))
    return FINISHED


if __name__ == "__main__":
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    sys.exit(main(sys.argv))
