"""The fields of `Config` by group; each is explained once, by the help of its flag."""

import dataclasses

from tf_metamixup.config.defaults import LITERT, MODES, OPTIMIZERS
from tf_metamixup.config.device_fields import DeviceSettings
from tf_metamixup.config.setting import setting


@dataclasses.dataclass(frozen=True)
class RowSettings:
    """Says what distinguishes the rows of a table: mode, method, policy, network."""

    mode: str = setting(
        "sl", "the paper's defaults (section IV.B) for all other flags", choices=MODES
    )
    method: str | None = setting(
        None,
        "name, name(value) or name(option=value, ...): supervised, audit, small_loss, glc, "
        "adamixup, manifold_mixup, and with --mode=ssl pseudo_label, pi_model, mean_teacher, vat, "
        "mixmatch, fixmatch, freematch, softmatch",
    )
    policy: str | None = setting(
        None,
        "where lambda comes from: none, fixed(c), beta(a), cutmix(a), mixup_cutmix, dynamic, meta; "
        "the paper's MetaMixUp is meta(estimator='nested')",
    )
    mix_until: float | None = setting(
        None,
        "fraction of the run after which mixing stops (lambda is 1); 1 never stops it, and is the "
        "default except for your own images with policy beta or dynamic: 0.8",
    )
    architecture: str | None = setting(
        None,
        "cnn3, preact_resnet18, preact_resnet34, wrn_28_10, wrn_28_2, resnet50, keras(name), "
        "cnn3(width=32, batch_norm=False, features=None), wrn(depth=16, width=2), "
        "preact_resnet(depth=18)",
    )


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Says which images are read, and what each is used for."""

    dataset: str = setting(
        "digits",
        "digits, mnist, fashion_mnist, svhn_cropped, cifar10, cifar100, imagenet2012, any other "
        "TFDS image-classification name, folder:DIR (DIR/train/CLASS/**; optionally "
        "DIR/unlabelled/**, and trusted, val and test like train) or table:FILE.csv (columns file, "
        "label; optionally split, trusted_label)",
    )
    data_dir: str | None = setting(
        None,
        "where TFDS data is stored or downloaded to; by default TFDS_DATA_DIR, else the TFDS "
        "default",
        recorded_only=True,
    )
    image_size: int | None = setting(
        None, "side length in pixels to which images of varying size are resized", at_least=1
    )
    corrupt_images: str = setting(
        "stop",
        "for your own files: stop at images that cannot be read, or skip them",
        choices=("stop", "skip"),
    )
    in_memory: str = setting(
        "auto",
        "for your own files: keep all images in memory (yes), read each file when it is needed "
        "(no), or decide by available memory (auto); the results are the same",
        choices=("auto", "yes", "no"),
        recorded_only=True,
    )
    num_labels: int | None = setting(
        None,
        "number of labelled training images in --mode=ssl, class-balanced; the labels of the "
        "others are not used. By default 4000 for cifar10, 1000 for svhn_cropped, 100 for digits, "
        "else 100 per class; not with unlabelled images of your own",
        at_least=1,
    )
    num_meta: int | None = setting(
        None,
        "number of images in the meta set, class-balanced; by default 1000 (sl) or 500 (ssl), at "
        "most a tenth of the training set; 100 for digits",
        at_least=1,
    )
    meta_source: str | None = setting(
        None,
        "heldout (the meta images are not trained on) or train (they are; the default for your own "
        "images)",
        choices=("heldout", "train"),
    )
    trusted_share: float | None = setting(
        None,
        "fraction of each batch that comes from the meta set; by default --meta_source decides",
    )
    label_noise: str | None = setting(
        None,
        "wrong labels for benchmarks: symmetric(0.4), asymmetric(0.4) or file('PATH.npz', "
        "column='worse_label'); never in meta, validation or test images",
    )
    labelled_classes: int | None = setting(
        None,
        "class mismatch for benchmarks: only the first N classes are used, while the unlabelled "
        "images of --mode=ssl also come from the other classes",
        at_least=2,
    )
    unlabelled_ratio: int = setting(
        1,
        "unlabelled images per labelled image in a batch of --mode=ssl; an epoch is a pass over "
        "the unlabelled images",
        at_least=1,
    )
    imbalance: float | None = setting(
        None,
        "long-tailed class sizes for benchmarks: they decrease from the first class to the last, "
        "by this factor overall; meta, validation and test images are not affected",
    )
    include_labelled: bool = setting(
        False, "whether the unlabelled images contain the labelled ones"
    )
    train_examples: int | None = setting(
        None,
        "maximum number of training images left after the meta set is split off, not counting a "
        "data set's own unlabelled images",
        at_least=1,
    )
    balance: str | None = setting(
        None,
        "oversampling of labelled images of rare classes: none, equal (all classes are sampled "
        "equally often) or sqrt (in proportion to the square root of their size)",
        choices=("none", "sqrt", "equal"),
    )
    val_fraction: float | None = setting(
        None,
        "fraction of each class that is split off from the training images for validation; by "
        "default 0.1 if there are neither validation nor test images, else none",
    )
    test_fraction: float | None = setting(None, "the same for testing, if there are no test images")
    augment: str = setting(
        "flip_shift",
        "augmentation of training images: --flip and --shift (flip_shift), these plus RandAugment "
        "with Cutout (randaugment), or none. Strong views of unlabelled images always use "
        "RandAugment",
        choices=("flip_shift", "randaugment", "none"),
    )
    flip: bool | None = setting(
        None, "random horizontal flips; by default if the data set allows it"
    )
    shift: int | None = setting(
        None,
        "random translation in pixels, with reflection; by default 0 (sl) or 2 (ssl); for your own "
        "images a 16th of the shorter side",
        at_least=0,
    )
    evaluate_on: str = setting(
        "test",
        "test images (test), or as many training images that no part of the run uses (unused), for "
        "choosing settings",
        choices=("test", "unused"),
    )


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Says the length of training and the optimizer of the real step."""

    epochs: int | None = setting(
        None, "passes over the training images; over the unlabelled ones in ssl", at_least=1
    )
    batch_size: int | None = setting(
        None,
        "global batch size; in ssl, the number of labelled images, with --unlabelled_ratio times "
        "as many unlabelled ones",
        at_least=1,
    )
    learning_rate: float | None = setting(
        None, "initial learning rate; by default 0.1 with sgd and 0.001 with adam"
    )
    schedule: str | None = setting(
        None,
        "cosine, steps (divided by 10 after 30, 60 and 90 % of the run: after 60, 120 and 180 of "
        "200 epochs), late (divided by 5 after 80 %, Oliver et al. 2018) or constant",
        choices=("cosine", "steps", "late", "constant"),
    )
    # IV.B names no warm-up: 0 is its letter.
    warmup_steps: int | None = setting(
        None,
        "steps over which the learning rate rises linearly; by default 100 for networks without "
        "normalization layers, else 0",
        at_least=0,
    )
    optimizer: str = setting(
        "sgd",
        "optimizer of the real step; the virtual step is plain gradient descent",
        choices=OPTIMIZERS,
    )
    momentum: float = setting(0.9, "momentum of SGD")  # IV.B
    weight_decay: float = setting(1e-4, "coefficient of the coupled L2 gradient")  # IV.B
    weight_decay_on: str = setting(
        "all", "all trainable variables, or kernels only", choices=("all", "kernels")
    )
    label_smoothing: float = setting(
        0.0, "fraction of the target of each labelled image that is spread evenly over all classes"
    )
    ema: float | None = setting(
        None,
        "decay of an exponential moving average of the weights, such as 0.999; the average is then "
        "evaluated, selected and exported; by default the method decides",
    )
    select: str = setting(
        "last",
        "weights that are tested and exported at the end of the run: the last ones, or the best by "
        "validation error",
        choices=("last", "best"),
    )
    patience: int | None = setting(
        None, "end the run after this many evaluations without a lower validation error", at_least=1
    )
    seed: int = setting(
        0, "random seed for splits, initial weights, order, augmentation and lambda"
    )


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """Says where a run lies, and how often it is logged, evaluated and saved."""

    run_dir: str | None = setting(
        None,
        "directory for all output of the run; repeating the command resumes it; by default "
        "runs/<dataset>-<mode>-<row>-seed<k>",
        recorded_only=True,
    )
    initial_weights: str | None = setting(
        None,
        "run directory of another run: a new run starts from the weights that its newest "
        "checkpoint holds (the averaged or best ones if that run ends with those), including its "
        "BatchNorm statistics",
    )
    max_steps: int | None = setting(
        None, "stop after this many steps in total; can be resumed", at_least=1, recorded_only=True
    )
    log_every: int = setting(50, "steps between two log entries", at_least=1, recorded_only=True)
    evaluate_every: int | None = setting(
        None,
        "epochs between two evaluations; by default chosen so that no more test images are read "
        "than were trained on in between and, for your own images, at least 100 steps apart. The "
        "last epoch is always evaluated",
        at_least=1,
        recorded_only=True,
    )
    checkpoint_every: int | None = setting(
        None,
        "epochs between two checkpoints; by default one before each evaluation. In addition, one "
        "is saved after a minute without any",
        at_least=1,
        recorded_only=True,
    )
    pictures: int | None = setting(
        None,
        "approximate number of times that TensorBoard's pictures are drawn, besides at the end; 0 "
        "for never. By default once per 1,000 steps, at most 10 times",
        at_least=0,
        recorded_only=True,
    )
    diagnostics: bool = setting(
        False,
        "log meta_gradient_cosine at each evaluation: how well lambda's gradients from two halves "
        "of a meta batch agree",
        recorded_only=True,
    )
    export: bool = setting(True, "write a SavedModel at the end", recorded_only=True)
    litert: str = setting(
        "none",
        "convert the SavedModel to LiteRT (.tflite) and compare the two",
        choices=tuple(LITERT),
        recorded_only=True,
    )


# Heading of their flags in `--help`.
GROUPS = {
    "row": RowSettings,
    "data": DataSettings,
    "training": TrainingSettings,
    "devices": DeviceSettings,
    "run": RunSettings,
}
