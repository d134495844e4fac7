"""The paper's tables: what each cell trains, and the error that it states (Mai et al. 2019)."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from tf_metamixup.config.defaults import META

# Rows as (method, policy), in canonical spelling.
SUPERVISED = {
    "Baseline": ("supervised", "none"),
    "MixUp": ("supervised", "beta"),
    "AdaMixUp w/o discriminator": ("adamixup(discriminator=False)", "none"),
    "AdaMixUp": ("adamixup", "none"),
    "MetaMixUp": ("supervised", META),
    "Manifold MixUp": ("manifold_mixup", "beta(alpha=2.0)"),  # in no table
    **{f"MixUp, alpha = {a:g}": ("supervised", f"beta(alpha={a})") for a in (0.5, 2.0)},
    **{
        f"MixUp, lambda = {c:g}": ("supervised", "fixed" if c == 0.5 else f"fixed(value={c})")
        for c in (0.1, 0.2, 0.3, 0.4, 0.5)
    },
}
APL = "pseudo_label(decay=0.05)"
SEMI_SUPERVISED = {
    "Supervised-Only": ("supervised", "none"),
    "Pseudo-Label": ("pseudo_label", "none"),
    "APL": (APL, "none"),
    "Pi-Model": ("pi_model", "none"),
    "Mean Teacher": ("mean_teacher", "none"),
    "VAT": ("vat", "none"),
    "VAT + EM": ("vat(entropy=0.06)", "none"),
    "VAT + EM, entropy 0.1": ("vat(entropy=0.1)", "none"),  # Oliver et al.'s runs
    "MixUp + Pseudo-Label": ("pseudo_label", "beta"),
    "MixUp + APL": (APL, "beta"),
    "MetaMixUp + Pseudo-Label": ("pseudo_label", META),
    "MetaMixUp + APL": (APL, META),
    "MixMatch w/o MixUp": ("mixmatch", "none"),
    "MixMatch": ("mixmatch", "beta(alpha=0.75, per_sample=True)"),
    "MixMatch + MetaMixUp": ("mixmatch", "meta(alpha=0.75, estimator='nested')"),
    # In no table.
    "FixMatch": ("fixmatch", "none"),
    "FreeMatch": ("freematch", "none"),
    "SoftMatch": ("softmatch", "none"),
    "FixMatch + MixUp": ("fixmatch", "beta(per_sample=True)"),
    "FixMatch + MetaMixUp": ("fixmatch", META),
}
ROWS = {"sl": SUPERVISED, "ssl": SEMI_SUPERVISED}
# Eq. 10 and 11 to the letter, with the step size of IV.B.
LITERAL = "meta(estimator='nested', gradient_scale='mean', parametrisation='raw', step_size=5.0)"
# Policies that are in no row of the paper: the one that each stands in for, and how it differs.
VARIANTS = {
    "meta": (META, "cached features"),
    "meta(alpha=0.75)": ("meta(alpha=0.75, estimator='nested')", "cached features"),
    LITERAL: (META, "to the letter"),
}
# Methods whose published hyper-parameters are others on SVHN (Oliver et al.; Berthelot et al.).
ON_SVHN = {
    "vat": "vat(epsilon=1.0)",
    "vat(entropy=0.06)": "vat(entropy=0.06, epsilon=1.0)",
    "mixmatch": "mixmatch(coefficient=250.0)",
}
# Options that fit a method to the size of a run or of images, and do not make another row of it.
SCALES = {"pseudo_label": ("period",), "vat": ("epsilon",), "mixmatch": ("coefficient", "ramp")}


@dataclasses.dataclass(frozen=True)
class Cell:
    """Holds one number of a table."""

    table: int  # 1 to 5
    # row, column: what the paper prints, or names for it where that is ambiguous.
    row: str
    column: str
    settings: dict[str, Any]  # what a run's `Config` must say to belong here
    # error, spread: the paper's mean and standard deviation, in percent.
    error: float
    spread: float | None = None
    metric: str = "test_error"  # the key of `result.json` that they are about


_SMALL = {
    "MNIST": {"dataset": "mnist", "architecture": "cnn3"},
    "Fashion": {"dataset": "fashion_mnist", "architecture": "cnn3"},
}
_LARGE = {
    "SVHN": {"dataset": "svhn_cropped"},
    "CIFAR-10": {"dataset": "cifar10"},
    "CIFAR-100": {"dataset": "cifar100"},
    "ImageNet top-1": {"dataset": "imagenet2012"},
    "ImageNet top-5": {"dataset": "imagenet2012"},
}
_SSL = {
    "CIFAR-10, 1K labels": {"dataset": "cifar10", "num_labels": 1000},
    "CIFAR-10, 4K labels": {"dataset": "cifar10", "num_labels": 4000},
    "SVHN, 500 labels": {"dataset": "svhn_cropped", "num_labels": 500},
    "SVHN, 1K labels": {"dataset": "svhn_cropped", "num_labels": 1000},
}

# Errors in the order of the columns; "-" where the paper has none, so that there is no cell.
_TABLE_1 = {
    "preact_resnet18": """
        Baseline                   | 0.54 7.31 4.62 5.62 25.20 52.84 29.48
        MixUp                      | 0.59 6.74 3.83 4.57 21.35 55.06 31.32
        AdaMixUp w/o discriminator | -    -    -    3.83 24.75 -     -
        AdaMixUp                   | 0.49 6.21 3.12 3.52 20.97 49.17 25.78
        MetaMixUp                  | 0.38 5.15 2.96 3.12 20.36 47.35 24.43""",
    "preact_resnet34": """
        Baseline                   | -    -    4.46 5.32 24.63 50.25 28.59
        MixUp                      | -    -    3.35 4.14 20.85 53.26 29.83
        MetaMixUp                  | -    -    2.42 2.51 18.51 46.89 23.93""",
    "wrn_28_10": """
        Baseline                   | -    -    4.34 4.74 22.33 50.41 28.38
        MixUp                      | -    -    3.31 3.07 19.21 52.96 29.28
        MetaMixUp                  | -    -    2.33 2.48 18.45 46.38 23.91""",
}
# CIFAR-10, CIFAR-100, SVHN, MNIST. The printed MetaMixUp row, 2.48 18.45 2.33 0.38, is that of
# WRN-28-10 in Table I beside rows of PreActResNet-18; here it is like for like.
_TABLE_2 = """
    Baseline            | 5.62 25.20 4.62 0.54
    MixUp, alpha = 0.5  | 4.65 21.67 4.71 0.66
    MixUp               | 4.57 21.35 4.03 0.59
    MixUp, alpha = 2    | 4.78 21.49 3.86 0.61
    MixUp, lambda = 0.1 | 5.02 22.56 4.21 0.56
    MixUp, lambda = 0.2 | 4.69 22.83 4.14 0.59
    MixUp, lambda = 0.3 | 4.71 22.44 4.42 0.64
    MixUp, lambda = 0.4 | 5.29 23.29 4.73 0.71
    MixUp, lambda = 0.5 | 5.88 23.62 4.78 0.70
    MetaMixUp           | 3.12 20.36 2.96 0.38"""
_TABLE_3 = """
    Supervised-Only          | 35.95±0.25 20.34±0.33 17.71±0.33 12.93±0.37
    Pseudo-Label             | 25.13±0.46 17.73±0.55 9.91±0.37  7.82±0.31
    Pi-Model                 | 24.81±0.51 16.37±0.63 8.82±0.20  7.19±0.27
    Mean Teacher             | 23.38±0.24 15.87±0.28 8.01±0.22  5.65±0.47
    VAT                      | 21.52±0.31 13.86±0.27 6.21±0.46  5.63±0.20
    VAT + EM                 | 21.28±0.37 13.13±0.39 6.14±0.41  5.35±0.19
    MixUp + Pseudo-Label     | 23.47±0.45 15.04±0.33 7.42±0.44  6.42±0.25
    MixUp + APL              | 22.85±0.39 14.79±0.22 6.73±0.31  6.37±0.37
    MetaMixUp + Pseudo-Label | 21.29±0.31 12.64±0.45 6.18±0.46  6.17±0.35
    MetaMixUp + APL          | 20.66±0.24 11.50±0.22 6.05±0.43  5.34±0.31
    MixMatch w/o MixUp       | -          10.97±0.34 -          4.89±0.41
    MixMatch                 | 7.87±0.36  6.42±0.21  3.79±0.65  3.32±0.43
    MixMatch + MetaMixUp     | 7.69±0.29  6.21±0.24  3.63±0.45  3.25±0.41"""
_TABLE_4 = """
    Pseudo-Label | 25.13±0.46 17.73±0.55 9.91±0.37 7.82±0.31
    APL          | 24.36±0.62 16.96±0.32 8.68±0.72 7.46±0.27"""
# MetaMixUp + APL by sigma_d; the 0.05 column is that of Table III with 4,000 and 1,000 labels.
_TABLE_5 = """
    sigma_d = 0.01 | 11.84 5.94
    sigma_d = 0.05 | 11.50 5.34
    sigma_d = 0.1  | 11.22 5.55
    sigma_d = 0.2  | 11.98 5.67"""
_SIGMAS = {f"sigma_d = {d:g}": (f"pseudo_label(decay={d})", META) for d in (0.01, 0.05, 0.1, 0.2)}


def cells() -> list[Cell]:
    """Returns all numbers of tables I to V."""
    first = [
        cell
        for architecture, text in _TABLE_1.items()
        for cell in _read(
            1,
            text,
            _SMALL | {name: {"architecture": architecture} | own for name, own in _LARGE.items()},
            suffix=f" ({architecture})",
        )
    ]
    resnet = {"architecture": "preact_resnet18"}
    names = ("CIFAR-10", "CIFAR-100", "SVHN")
    second = _read(
        2, _TABLE_2, {name: resnet | _LARGE[name] for name in names} | {"MNIST": _SMALL["MNIST"]}
    )
    larger = {name: _SSL[name] for name in ("CIFAR-10, 4K labels", "SVHN, 1K labels")}
    return [
        *first,
        *second,
        *_read(3, _TABLE_3, _SSL, mode="ssl"),
        *_read(4, _TABLE_4, _SSL, mode="ssl"),
        *_read(5, _TABLE_5, larger, mode="ssl"),
    ]


def _read(
    table: int, text: str, columns: dict[str, dict[str, Any]], *, mode: str = "sl", suffix: str = ""
) -> Iterator[Cell]:
    for line in text.strip().splitlines():
        name, numbers = (part.strip() for part in line.split("|"))
        for (column, own), number in zip(columns.items(), numbers.split(), strict=True):
            if number != "-":
                error, _, spread = number.partition("±")
                yield Cell(
                    table,
                    name + ("" if own.get("architecture") == "cnn3" else suffix),
                    column,
                    _settings(mode, (ROWS[mode] | _SIGMAS)[name], own),
                    float(error),
                    float(spread) if spread else None,
                    "test_error_top5" if column.endswith("top-5") else "test_error",
                )


def _settings(mode: str, pair: tuple[str, str], own: dict[str, Any]) -> dict[str, Any]:
    method, policy = pair
    if own["dataset"] == "svhn_cropped":
        method = ON_SVHN.get(method, method)
    architecture = {"architecture": "wrn_28_2"} if mode == "ssl" else {}
    return {"mode": mode, "method": method, "policy": policy} | architecture | own


def row_name(mode: str | None, method: str, policy: str) -> str | None:
    """Returns the name of a pair in the paper, whatever its size of run and images, or None."""
    for name, (own_method, own_policy) in ROWS.get(mode, {}).items():
        if (_essential(method), policy) == (_essential(own_method), own_policy):
            return name
    return None


def display_name(mode: str | None, method: str, policy: str) -> str | None:
    """Returns the name of a pair in tables and figures: `row_name`, or that of its row."""
    policy, *variation = VARIANTS.get(policy, (policy,))
    name = row_name(mode, method, policy)
    return name and ", ".join([name, *variation])


def _essential(method: str) -> str:
    """Returns a method's canonical text without the options that only fit it to a size."""
    name, _, rest = method.partition("(")
    options = [option.strip() for option in rest.rstrip(")").split(",")] if rest else []
    kept = [o for o in options if o.partition("=")[0] not in SCALES.get(name, ())]
    return f"{name}({', '.join(kept)})" if kept else name


def belongs(config: dict[str, Any], cell: Cell) -> bool:
    """Returns whether a run's settings are those of the cell."""
    return all(config.get(name) == value for name, value in cell.settings.items())
