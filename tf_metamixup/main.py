"""`python -m tf_metamixup.main`: flags -> Config -> data, model, Trainer -> run directory."""

import dataclasses
import shlex
import sys
import warnings

from absl import flags

from tf_metamixup import cli
from tf_metamixup.config import RECORDED_ONLY, Config, selecting
from tf_metamixup.core.plurals import counted
from tf_metamixup.core.signals import Interrupted, listen
from tf_metamixup.report import audit
from tf_metamixup.runs.directory import RunDirectory
from tf_metamixup.runs.summary import summary


def parse(argv: list[str]) -> Config:
    """Returns the Config of a command line; `--help` and `--version` print and exit."""
    values = flags.FlagValues()
    cli.define_flags(values)
    cli.read_flags(values, argv, __doc__)
    return cli.config_of(values)


def train(config: Config) -> dict | None:
    """Loads the data, builds the model, trains, exports.

    Returns the content of `result.json` on the worker that writes it, else None.
    """
    import tensorflow as tf

    from tf_metamixup.distribution.strategy import make_strategy
    from tf_metamixup.experiment import assemble
    from tf_metamixup.export import of_run
    from tf_metamixup.training import initial_weights
    from tf_metamixup.training.plan import Plan

    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    assembly = assemble(config, make_strategy(config.replicas))
    config, source = assembly.config, assembly.source
    prepared, trainer = assembly.prepared, assembly.trainer
    workers = trainer.workers
    if config.tensor_float_32:
        tf.config.experimental.enable_tensor_float_32_execution(True)
    if config.litert != "none":
        with workers.together():
            if workers.chief:
                of_run.require_litert(assembly)
    if config.initial_weights is not None:
        initial_weights.load(trainer, config)
    labels_used = prepared.labels_used(trainer.policy.reads_meta)
    if workers.chief:
        print(announce(assembly, labels_used), file=sys.stderr)
        if config.warmup_steps > assembly.steps:
            warnings.warn(
                f"the learning rate does not come to --learning_rate={config.learning_rate}: "
                f"--warmup_steps={config.warmup_steps} is longer than the run",
                stacklevel=2,
            )
    identity = config.identity()
    planned = {field.name for field in dataclasses.fields(Plan)} - {"steps", "epoch_steps"}
    result = trainer.fit(
        **assembly.training,
        validation=prepared.validation,
        test=prepared.test,
        steps=assembly.steps,
        epoch_steps=prepared.epoch_steps,
        run_dir=config.run_dir,
        **{name: getattr(config, name) for name in planned},
        settings=identity,
        recorded={k: v for k, v in dataclasses.asdict(config).items() if k not in identity},
        splits=prepared.named(source.train.ids),
        contents=source.contents,
        labels_used=labels_used,
        data=lambda: source.fingerprint,
        summarize=False,  # what is exported belongs to it
    )
    if result["status"] == "finished":
        _complete(assembly, result)
    return result if workers.chief else None


def _complete(assembly, result: dict) -> None:
    """Exports a finished run and audits its labels, where that is not done yet."""
    from tf_metamixup.export import of_run

    config, trainer = assembly.config, assembly.trainer
    workers = trainer.workers
    # Else someone has removed its checkpoints, and these weights are not its own.
    trained = trainer.steps_taken == result["steps"]
    with workers.together():
        if workers.chief and config.export:
            of_run.export(assembly, shlex.join(command_of(config)), result, trained=trained)
    if trained and trainer.method.trusts and "label_audit" not in result:
        with workers.watched():
            judged = audit.judge(assembly)  # on all workers, which predict together
        with workers.together():
            if workers.chief:
                result["label_audit"] = audit.write(judged, config.run_dir)
                RunDirectory(config.run_dir).write_json("result.json", result)


def announce(assembly, labels_used: int) -> str:
    """Returns what is printed before training: images, labels, noise, steps, when mixing stops."""
    config, splits = assembly.config, assembly.prepared.splits
    parts = {"labelled": splits.labelled}
    if assembly.prepared.unlabelled is not None:
        parts["unlabelled"] = splits.unlabelled
    if assembly.trainer.policy.reads_meta:
        parts["meta"] = splits.meta
    images = ", ".join(f"{len(indices):,} {name}" for name, indices in parts.items())
    lines = [
        f"{config.dataset}: {images} images with {counted(labels_used, 'label')}; "
        f"{counted(assembly.steps, 'step')} of {config.batch_size} "
        f"({counted(config.epochs, 'epoch')})"
    ]
    if config.label_noise is not None:
        lines.append(
            f"{len(assembly.prepared.relabelled):,} of the {len(splits.labelled):,} labels are "
            f"wrong (--label_noise={config.label_noise}); those of the {len(splits.meta):,} meta "
            "images are right"
        )
    if config.mix_until < 1:
        mixed = counted(assembly.mixed_steps, "step")
        lines.append(f"mixing stops after {mixed} (--mix_until={config.mix_until:g})")
    return "\n".join(lines)


def command_of(config: Config) -> list[str]:
    """Returns the command line that repeats a run: each setting that is not the default.

    Args:
        config: canonical, with its data defaults filled in.
    """
    from tf_metamixup import experiment

    # Other defaults follow from these, which are given where they are not the default themselves.
    deciding = ("method", "policy", "optimizer")
    given = {name: getattr(config, name) for name in ("dataset", "mode", *deciding)}
    default = experiment.canonical(Config(**given).resolve())
    plain = experiment.canonical(Config(dataset=config.dataset, mode=config.mode).resolve())
    default = dataclasses.replace(default, **{name: getattr(plain, name) for name in deciding})
    words = ["python", "-m", "tf_metamixup.main", f"--dataset={config.dataset}"]
    words.append(f"--mode={config.mode}")
    settings = dataclasses.asdict(config)
    # How many devices share a run makes no other run of it; the row groups do.
    free = {*RECORDED_ONLY, "replicas"} - selecting(settings)
    for name, value in settings.items():
        if value == getattr(default, name) or name in free:
            continue
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no{name}")
        else:
            words.append(f"--{name}={value}")
    return words


def describe(result: dict, run_dir: str) -> str:
    """Formats what is printed at the end of a run."""
    judged = result.get("label_audit")
    return summary(result, run_dir, audit.describe(judged, run_dir) if judged else ())


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit code."""

    def run(config: Config) -> None:
        result = train(config)
        if result is not None:
            print(describe(result, config.run_dir))

    try:
        with listen():
            return cli.exit_code(lambda: cli.settle(parse(argv)), run)
    except Interrupted as interrupted:
        print(f"stopped by {interrupted}; the same command resumes what is saved", file=sys.stderr)
        return 128 + interrupted.signum


if __name__ == "__main__":
    cli.execute(main)
