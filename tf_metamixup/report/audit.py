"""`python -m tf_metamixup.report.audit RUN...`: which of a run's labels are wrong.

Judges the labels that a finished run was trained on with its final network, and writes into RUN

    labels.csv    image, label, probability_right, suggested; the most suspicious first
    labels.html   pictures of the most suspicious images of each class

Runs of the methods audit and small_loss, which write both at their end, are judged as they judge.
Labels of any other run are judged by their losses; what its network has memorized is not found.
Where --label_noise made the labels wrong, it also says how well they were found.
"""

import csv
import dataclasses
import io
import os
from typing import Any

import numpy as np
from absl import flags

from tf_metamixup import cli
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.ranking import area_under_roc, precision_at
from tf_metamixup.distribution.startup import start_tensorflow
from tf_metamixup.report import audit_page
from tf_metamixup.runs.directory import RunDirectory, read_finished

LABELS, PAGE = "labels.csv", "labels.html"
MEMORIZED = (
    "by the losses of the final network, which was trained on these labels: wrong ones that it has "
    "memorized are not found"
)
NO_PROBABILITIES = (
    ". Read the order, not the probabilities: hard images have large losses where all labels are "
    "right"
)


@dataclasses.dataclass(frozen=True)
class Judged:
    """Holds what is thought of the labels that a run was trained on.

    Attributes:
        names: of the images, [N].
        images: uint8 [N, H, W, C], or `StoredFiles`.
        classes: names.
        given: the labels, int [N].
        right: the probability that they are right, [N].
        suggested: the label, or the most likely other one where `right` is below 1/2, int [N].
        how: by what they were judged.
        truth: the right labels, int [N], where noise made some wrong; else None.
        countable: whether `right` is more than an order.
    """

    names: list[str]
    images: Any
    classes: list[str]
    given: np.ndarray
    right: np.ndarray
    suggested: np.ndarray
    how: str
    truth: np.ndarray | None = None
    countable: bool = True

    @property
    def order(self) -> np.ndarray:
        """Returns the positions, int [N], the most suspicious first."""
        return np.argsort(self.right, kind="stable")

    def scores(self) -> dict[str, Any]:
        """Counts labels and suspicious ones, and measures how well wrong ones are found.

        `precision` is that at 10, at 100 and at k, k being the number of wrong labels.
        """
        found = {"labels": len(self.given)}
        if self.countable:
            found["suspicious"] = int((self.right < 0.5).sum())
        if self.truth is None:
            return found
        wrong = self.given != self.truth
        sizes = sorted({k for k in (10, 100, int(wrong.sum())) if 0 < k <= len(wrong)})
        return found | {
            "wrong": int(wrong.sum()),
            "auc": area_under_roc(-self.right, wrong),
            "precision": {str(k): precision_at(-self.right, wrong, k) for k in sizes},
        }

    def table(self) -> str:
        """Returns the content of `labels.csv`."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["image", "label", "probability_right", "suggested"])
        for i in self.order:
            label, suggested = (self.classes[k[i]] for k in (self.given, self.suggested))
            rows.writerow([self.names[i], label, f"{self.right[i]:.4f}", suggested])
        return text.getvalue()


def judge(assembly) -> Judged:
    """Judges the labels that a run was trained on, with the weights that its trainer has.

    Args:
        assembly: an `experiment.Assembly`.

    Raises:
        UserError: the images are read from files as training goes.
    """
    from tf_metamixup.data import InMemory
    from tf_metamixup.methods.small_loss import SmallLoss
    from tf_metamixup.training.audit import evidence

    source, prepared, trainer = assembly.source, assembly.prepared, assembly.trainer
    if not isinstance(source.train, InMemory):
        raise UserError(f"{source.name} does not fit into memory, which an audit needs")
    given, untrusted = prepared.labelled.labels.numpy(), prepared.labelled.untrusted
    method, how = trainer.method, f"by method {assembly.config.method}"
    if not method.trusts:
        method, how = SmallLoss(), MEMORIZED
    if not method.audits:
        how += NO_PROBABILITIES
    audited = prepared.audited if method.audits else None
    right, classes = method.assess(evidence(trainer, prepared.labelled, audited))
    if method is trainer.method:
        right = method.averaged(trainer.label_audit.state, right)
    others = np.where(np.arange(len(source.classes)) == given[:, None], -1, classes).argmax(axis=1)
    shown = np.flatnonzero(untrusted)  # the labelled ones stand first, as in `splits`
    positions, names = prepared.splits.labelled[shown], source.train.ids
    noisy = assembly.config.label_noise is not None
    return Judged(
        names=[str(i) if names is None else names[i] for i in positions],
        images=source.train.images[positions],
        classes=source.classes,
        given=given[shown],
        right=right[shown],
        suggested=np.where(right < 0.5, others, given)[shown],
        how=how,
        truth=source.train.labels[positions] if noisy else None,
        countable=bool(method.audits),
    )


def write(judged: Judged, run_dir: str) -> dict[str, Any]:
    """Writes `labels.csv` and `labels.html` into a run directory; returns `Judged.scores`.

    Raises:
        UserError: they cannot be written.
    """
    folder, scores = RunDirectory(run_dir), judged.scores()
    folder.write_text(LABELS, judged.table())
    folder.write_text(PAGE, audit_page.page(judged, scores))
    return scores


def describe(scores: dict[str, Any], run_dir: str) -> list[str]:
    """Returns the lines that are printed of an audit."""
    lines = [f"  labels       {audit_page.how_many(scores)}: {run_dir}/{PAGE}, {run_dir}/{LABELS}"]
    if scores.get("auc") is not None:
        precision = ", ".join(f"{value:.2f} at {k}" for k, value in scores["precision"].items())
        lines.append(
            f"  wrong ones   {scores['wrong']:,}, found with an area under the ROC of "
            f"{scores['auc']:.3f}; precision {precision}"
        )
    return lines


def parse(argv: list[str]) -> tuple[list[str], str | None]:
    """Returns the runs and --data_dir of a command line; `--help` and `--version` exit."""
    values = flags.FlagValues()
    common = {"flag_values": values, "module_name": "audit"}
    flags.DEFINE_string("data_dir", None, "where the TFDS data is now, if it has moved", **common)
    runs = cli.read_flags(values, argv, __doc__, operands=True)
    if not runs:
        usage = "python -m tf_metamixup.report.audit RUN..."
        raise UserError(cli.as_typed(f"no run; usage: {usage} [--data_dir=DIR]", argv))
    return runs, values["data_dir"].value


def run(args: tuple[list[str], str | None]) -> None:
    """Judges the labels of each run.

    Raises:
        UserError: a run has no result, or cannot be rebuilt.
    """
    folders, data_dir = args
    for folder in map(os.path.expanduser, folders):
        result = read_finished(folder, "its labels are judged by its final network")
        start_tensorflow()
        from tf_metamixup.experiment import rebuild

        judged = judge(rebuild(folder, result, data_dir))
        print(f"{folder}: judged {judged.how}", *describe(write(judged, folder), folder), sep="\n")


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit code."""
    return cli.exit_code(lambda: parse(argv), run)


if __name__ == "__main__":
    cli.execute(main)
