"""From settings to a run, and from a finished run back to its data and network."""

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras.optimizers import schedules

from tf_metamixup import data, methods, models, policies
from tf_metamixup.config import Config, defaults
from tf_metamixup.core.errors import UserError, explained
from tf_metamixup.core.schedules import steps_before, warm_up
from tf_metamixup.data.contents import changes
from tf_metamixup.data.stream import Stream
from tf_metamixup.distribution.workers import Workers
from tf_metamixup.models.layers import is_normalized
from tf_metamixup.runs import results
from tf_metamixup.runs.checkpoints import Checkpoints
from tf_metamixup.training.graphs import Graphs
from tf_metamixup.training.plan import Plan
from tf_metamixup.training.selection import Selection
from tf_metamixup.training.trainer import Trainer

# Of networks without normalization layers.
WARMUP_STEPS = 100
# Settings that `Trainer` takes by their names.
TRAINED_WITH = (
    *("optimizer", "momentum", "weight_decay", "weight_decay_on", "seed", "row_groups"),
    *("mixed_bfloat16", "meta_bfloat16", "jit", "ema", "mix_until", "label_smoothing"),
)


@dataclasses.dataclass(frozen=True)
class Assembly:
    """Holds what a run is made of."""

    config: Config  # the settings, all filled in
    source: data.Source
    prepared: data.Prepared  # what the run reads of it
    trainer: Trainer  # with initial weights

    @property
    def steps(self) -> int:
        """Returns the number of steps of the whole run."""
        return self.config.epochs * self.prepared.epoch_steps

    @property
    def mixed_steps(self) -> int:
        """Returns the number of steps until mixing stops."""
        return steps_before(self.config.mix_until, self.steps)

    @property
    def training(self) -> dict[str, Stream | data.Audited | None]:
        """Returns the streams that are trained on, by name, as `Trainer.fit` takes them."""
        names = ("labelled", "unlabelled", "meta", "audited")
        return {name: getattr(self.prepared, name) for name in names}

    @functools.cached_property
    def graphs(self) -> Graphs:
        """Makes the compiled functions of the run at their first use."""
        return self.trainer.graphs(
            **self.training, epoch_steps=self.prepared.epoch_steps, steps=self.steps
        )


def canonical(config: Config) -> Config:
    """Returns `config` with method, policy and architecture in their canonical spelling.

    What depends on the names of method and policy is filled in: when mixing stops.

    Raises:
        UserError: an unknown name or option.
    """
    method, policy = methods.make(config.method), policies.make(config.policy)
    config = config.with_defaults(mix_until=default_mix_until(config))
    policies.check(policy, method, mix_until=config.mix_until)
    methods.check_smoothing(method, config.label_smoothing)
    methods.averaging(method, config.ema)
    if config.mixed_bfloat16 or config.meta_bfloat16:
        methods.check_precision(method)
    for name in ("meta_bfloat16", "diagnostics"):
        if getattr(config, name):
            policies.check_meta_stage(policy, f"--{name} with --policy={config.policy}")
    if method.views and config.mode == "sl":
        raise UserError(
            f"--method={config.method} learns from unlabelled images too, and --mode=sl has none; "
            "use --mode=ssl"
        )
    return dataclasses.replace(
        config,
        method=str(methods.parse(config.method)),
        policy=str(policies.parse(config.policy)),
        label_noise=config.label_noise and str(data.parse_noise(config.label_noise)),
        architecture=config.architecture and str(models.parse(config.architecture)),
    )


def assemble(config: Config, strategy: tf.distribute.Strategy) -> Assembly:
    """Makes the run of `config` on the devices of `strategy`.

    Raises:
        UserError: the data are not there, or cannot be split as the settings say.
    """
    gpus = bool(tf.config.list_physical_devices("GPU"))
    config = config.resolve(replicas=strategy.num_replicas_in_sync)
    workers = Workers(strategy)
    with workers.together():
        reading = (config.image_size, config.corrupt_images, config.in_memory)
        source = data.load(config.dataset, config.data_dir, *reading)
        if config.labelled_classes is not None:
            source = source.labelling(config.labelled_classes)
        config = canonical(config.resolve(gpus=gpus, data=source.info))
        method = methods.make(config.method)
        prepared = data.prepare(
            source, config, method.views, strong_views=method.strong_views, audits=method.audits
        )
    # Before the model: the chief gives the others its variables as they are made.
    settings = config.identity() | {"litert": config.litert}
    workers.check_same(data=source.contents, settings=settings)
    steps = config.epochs * prepared.epoch_steps
    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        model = models.make(config.architecture, source.image_shape, len(source.classes))
    config = config.with_defaults(
        warmup_steps=default_warmup(model), evaluate_every=prepared.evaluate_every
    )
    config = config.with_defaults(checkpoint_every=config.evaluate_every)
    trainer = Trainer(
        model,
        method,
        config.policy,
        make_schedule(config, steps),
        preprocess=data.scale,
        class_names=source.classes,
        unfreeze_at=models.parse(config.architecture).options.get("unfreeze_at"),
        **{name: getattr(config, name) for name in TRAINED_WITH},
    )
    return Assembly(config, source, prepared, trainer)


def default_mix_until(config: Config) -> float:
    """Returns the fraction of the run that is mixed of a user's own images, by default."""
    measured = (
        methods.parse(config.method).name in defaults.OWN_MIX_UNTIL_METHODS
        and policies.parse(config.policy).name in defaults.OWN_MIX_UNTIL_POLICIES
    )
    return defaults.OWN_MIX_UNTIL if measured else 1.0


def default_warmup(model: keras.Model) -> int:
    """Returns the number of warm-up steps of a network where the settings name none.

    At the paper's rate of 0.1 and momentum of 0.9 the first steps kill `cnn3` on half of the seeds
    (docs/reproduction.md has the losses); networks with normalization layers survive them.
    """
    return 0 if is_normalized(model) else WARMUP_STEPS


def make_schedule(config: Config, steps: int):
    """Returns eta as a function of the step (IV.B), a number where it is constant."""
    return warm_up(_decay(config, steps), config.warmup_steps or 0)


def _decay(config: Config, steps: int):
    rate = config.learning_rate
    if config.schedule == "constant":
        return rate
    if config.schedule == "cosine":
        return schedules.CosineDecay(rate, steps)
    if config.schedule == "late":
        return schedules.PiecewiseConstantDecay([round(0.8 * steps) - 1], [rate, rate / 5])
    # "divided by 10 after 60, 120 and 180 epochs" of 200.
    return schedules.PiecewiseConstantDecay(
        # Keras keeps the old rate up to and with the boundary.
        [round(steps * share) - 1 for share in (0.3, 0.6, 0.9)],
        [rate * factor for factor in (1, 0.1, 0.01, 0.001)],
    )


def rebuild(
    folder: str | os.PathLike, result: Mapping[str, Any], data_dir: str | None = None
) -> Assembly:
    """Restores what a run was made of, with its final weights, on one device.

    Settings are values and names from registries; nothing in the run directory `folder` is
    executed. TFDS data lies at `data_dir` now, by default where it lay then.

    Raises:
        UserError: settings that make no run, other data than it was trained on, no checkpoint.
    """
    config, folder = result["config"], pathlib.Path(folder)
    fields = {field.name for field in dataclasses.fields(Config)}
    if "parameters" in config:
        raise UserError(
            f"{folder} is a run of your own program (Trainer.fit): only that has its data and "
            "network, so they cannot be rebuilt here"
        )
    if unknown := config.keys() - fields:
        raise UserError(
            f"{folder} has settings that `python -m tf_metamixup.main` of this version does not "
            f"know ({', '.join(sorted(unknown))}), so its data and network cannot be rebuilt"
        )
    # What an older version did not record, it did not have: the default is what it did.
    own = Config(**{**results.DEFAULTS, **config})
    # Of a user's own images earlier versions recorded one too.
    known = None if defaults.is_own(own.dataset) else data_dir or own.data_dir
    own = dataclasses.replace(own, data_dir=known)
    # One device computes what the replicas did, if it keeps their row groups. Earlier versions took
    # `diagnostics` with every policy.
    alone = dataclasses.replace(own, replicas=1, diagnostics=False).resolve()
    assembly = assemble(alone, tf.distribute.get_strategy())
    _require_same_data(folder, assembly)
    graphs = assembly.graphs
    plan = Plan(assembly.steps, assembly.prepared.epoch_steps, select=own.select)
    selection = Selection(assembly.trainer, graphs.variables, plan)
    progress = Checkpoints(folder / "checkpoints", selection.variables).restore()
    if progress is None or progress.state["step"] != result["steps"]:
        raise UserError(
            f"{folder}/checkpoints does not hold the end of the run, step {result['steps']}; "
            "train it again in a new --run_dir"
        )
    if result["status"] == "finished":
        selection.apply(progress.state["history"])
    return assembly


def _require_same_data(folder: pathlib.Path, assembly: Assembly) -> None:
    """Refuses other data than the run in `folder` was trained on."""
    config, source = assembly.config, assembly.source
    splits = assembly.prepared.named(source.train.ids)
    differing = "" if splits == _json(folder / "splits.json") else "its parts differ"
    if (folder / "data.json").exists():  # which an older version did not write
        differing = changes(_json(folder / "data.json"), source.contents) or differing
    if differing:
        where, remedy = f" in {config.data_dir}", "say with --data_dir where that one lies"
        if defaults.is_own(config.dataset):
            where, remedy = "", "put the files back as they were"
        raise UserError(
            f"the data set {config.dataset}{where} is not the one that {folder} was trained on: "
            f"{differing}; {remedy}"
        )


def _json(path: pathlib.Path) -> Any:
    with explained(f"cannot read {path}", OSError, ValueError, advice="; train the run again"):
        return json.loads(path.read_text())
