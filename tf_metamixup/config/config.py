"""The settings of a run."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from tf_metamixup.config import checks, defaults, fields
from tf_metamixup.config.setting import validate

# Of a user's own images.
OWN_LATER = ("architecture", "batch_size", "epochs", "mix_until", "shift")


class DataInfo(NamedTuple):
    """Describes the properties of a training set that settings depend on.

    Attributes:
        classes: number of classes.
        examples: number of training images with labels, without those that are `trusted`.
        flip: whether a mirrored image keeps its class.
        unlabelled: number of images without a label.
        trusted: number of images that are the meta set, since someone has checked their labels.
        val, test: whether there are validation and test images.
        size: (height, width) of the images, in pixels.
    """

    classes: int
    examples: int
    flip: bool
    unlabelled: int = 0
    trusted: int = 0
    val: bool = False
    test: bool = True
    size: tuple[int, int] = (0, 0)


@dataclasses.dataclass(frozen=True)
class Config(
    fields.RowSettings,
    fields.DataSettings,
    fields.TrainingSettings,
    fields.DeviceSettings,
    fields.RunSettings,
):
    """Holds all settings of a run; each field is explained by the help of its flag."""

    def resolve(
        self, *, replicas: int | None = None, gpus: bool = False, data: DataInfo | None = None
    ) -> "Config":
        """Fills in what is None as far as it can be known, and validates.

        Args:
            replicas: how many there are, once the devices are known.
            gpus: whether they are GPUs; read with `data`.
            data: of the training set, once it is loaded.

        Raises:
            UserError: naming the setting, its value and what is allowed.
        """
        metadata = {field.name: field.metadata for field in dataclasses.fields(self)}
        validate("mode", self.mode, metadata["mode"])
        filled = dict(defaults.BY_MODE[self.mode])
        del filled["num_meta"]  # it depends on the data too
        validate("optimizer", self.optimizer, metadata["optimizer"])
        filled["learning_rate"] = defaults.LEARNING_RATES[self.optimizer]
        if defaults.is_own(self.dataset):
            filled |= defaults.OWN | (defaults.OWN_SSL if self.mode == "ssl" else {})
            # Nothing is learned from the meta set by default: its labels are for training.
            filled["meta_source"] = "heldout" if self.trusted_share else "train"
            # They depend on the data, the devices, or the method.
            filled = {k: v for k, v in filled.items() if k not in OWN_LATER}
        if defaults.dataset_name(self.dataset) in defaults.SMALL_IMAGES:
            filled["architecture"] = "cnn3"
        if data is not None:
            filled |= self._data_defaults(data, gpus=gpus)
        if self.augment == "none":
            filled |= {"flip": False, "shift": 0}
        if replicas is not None:
            filled["row_groups"] = replicas
        config = self.with_defaults(**filled)
        if replicas is not None:
            config = dataclasses.replace(config, replicas=replicas)
        for name in metadata:
            validate(name, getattr(config, name), metadata[name])
        checks.check(config)
        if config.balance == "none":  # as results of older versions have it
            config = dataclasses.replace(config, balance=None)
        config = config.with_defaults(run_dir=config._default_run_dir())
        return checks.with_initial_weights(config)

    def with_defaults(self, **values: Any) -> "Config":
        """Returns these settings with `values` for those of them that are None."""
        missing = {name: value for name, value in values.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **missing)

    def identity(self) -> dict[str, Any]:
        """Returns the settings that make two runs the same."""
        settings = dataclasses.asdict(self)
        free = {*RECORDED_ONLY} - selecting(settings)
        return {name: value for name, value in settings.items() if name not in free}

    def _data_defaults(self, data: DataInfo, *, gpus: bool) -> dict[str, Any]:
        checks.check_data(self, data)
        name = defaults.dataset_name(self.dataset)
        usual = 100 if name == "digits" else defaults.BY_MODE[self.mode]["num_meta"]
        given: dict[str, Any] = {"flip": data.flip}
        if not data.trusted:
            given["num_meta"] = max(data.classes, min(usual, data.examples // 10))
        if not (data.val or data.test or self.test_fraction or self.evaluate_on == "unused"):
            given["val_fraction"] = defaults.VAL_FRACTION
        if defaults.is_own(self.dataset):
            most = data.examples // 2  # two batches
            if self.mode == "ssl" and self.method != "supervised" and data.unlabelled:
                most = min(most, data.unlabelled // self.unlabelled_ratio)
            given["batch_size"] = defaults.own_batch(most, self.replicas or 1, gpus=gpus)
            planned = self.with_defaults(**given)
            passed = planned._images_of_epoch(data)
            epoch_steps = max(1, passed // (planned.batch_size * self.unlabelled_ratio))
            steps = defaults.up_to(defaults.OWN_STEPS, passed)
            given["epochs"] = max(1, round(steps / epoch_steps))
            given["architecture"] = defaults.up_to(defaults.OWN_NETWORKS, max(data.size))
            given["shift"] = round(defaults.OWN_SHIFT * min(data.size))
        if self.mode == "ssl" and not data.unlabelled:
            given["num_labels"] = defaults.NUM_LABELS.get(name, 100 * data.classes)
        return given

    def _images_of_epoch(self, data: DataInfo) -> int:
        """Returns about how many images an epoch reads; `data.prepare` splits them."""
        if self.mode == "ssl" and data.unlabelled:
            return data.unlabelled
        kept = data.examples * (1 - (self.val_fraction or 0) - (self.test_fraction or 0))
        checked_too = self.trusted_share or self.meta_source != "heldout"
        return round(kept) + (data.trusted if checked_too else -(self.num_meta or 0))

    def _default_run_dir(self) -> str:
        row = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{self.method}-{self.policy}").strip("_")
        dataset = re.sub(r"[^A-Za-z0-9.]+", "_", self.dataset).strip("_")
        return f"runs/{dataset}-{self.mode}-{row}-seed{self.seed}"


# Settings that are left out of a run's fingerprint: resuming may change them.
RECORDED_ONLY = tuple(
    field.name for field in dataclasses.fields(Config) if field.metadata["recorded_only"]
)
# Settings that runs of one row of a table, or of one curve, may differ in: neither the protocol
# nor what is measured depends on them.
FREE = frozenset((*RECORDED_ONLY, "seed", "replicas", "row_groups", "deterministic"))


def selecting(settings: Mapping[str, Any]) -> set[str]:
    """Returns the names in `RECORDED_ONLY` that decide which weights a run ends with."""
    selects = settings.get("select") == "best" or settings.get("patience")
    return {"evaluate_every"} if selects else set()
