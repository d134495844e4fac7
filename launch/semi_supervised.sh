#!/usr/bin/env bash
# Which semi-supervised method to pick, at sizes that two CPU cores train: prints one command a row
# and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin semi_supervised 3 "$(cat <<'END'
Fashion-MNIST with 40, 250 and 1,000 labels and CIFAR-10 with 250 and 4,000; 37,500 other images
(30,000 with 40 labels). All rows take 6,000 steps (5,992 with 7 unlabelled images per labelled one)
of 50 labelled images (40 with 40 labels), and evaluate weights averaged with a decay of 0.999.
APL's threshold falls every eighth of the run; MixMatch's weight rises as its code lets it rise, and
so to 27.5 in 6,000 steps. Last, an unclean pool: 6 of 10 classes have labels. The rows with
MetaMixUp read 500 labels more. The whole was not run; GPU-hours are not measured.

  python -m tf_metamixup.report runs/semi_supervised
END
)" "$@"
given=(${more[@]+"${more[@]}"})

# rows DATA LABELS BATCH OTHERS [FLAG...]: nine rows; the flags are part of their names.
rows() {
    local own=("--num_labels=$2" "${@:5}") once=(--epochs=8 --ema=0.999) seven=--epochs=56
    local data="$1" mixmatch="--method=mixmatch(coefficient=27.5, ramp=1.0)"
    more=("--train_examples=$(($2 + $4))" "--batch_size=$3" --noexport "$network"
        ${given[@]+"${given[@]}"})
    cell ssl "$data" supervised_only "${own[@]}" "${once[@]}"
    cell ssl "$data" pseudo_label "${own[@]}" "${once[@]}"
    cell ssl "$data" mixmatch "${own[@]}" "$mixmatch" --epochs=8
    cell ssl "$data" fixmatch "${own[@]}" "$seven"
    cell ssl "$data" freematch "${own[@]}" "$seven"
    cell ssl "$data" metamixup_apl "${own[@]}" "--method=pseudo_label(decay=0.05, period=1)" \
        "${once[@]}"
    cell ssl "$data" mixmatch_metamixup "${own[@]}" "$mixmatch" --epochs=8
    cell ssl "$data" fixmatch_mixup "${own[@]}" "$seven"
    cell ssl "$data" fixmatch_metamixup "${own[@]}" "$seven"
}

network="--architecture=cnn3(width=16, batch_norm=True)"
rows fashion_mnist 40 40 30000
rows fashion_mnist 250 50 37500
rows fashion_mnist 1000 50 37500
# As many images of each of the other four classes, 37,500 in all.
rows fashion_mnist 250 50 22500 --labelled_classes=6
network="--architecture=wrn(depth=16, width=1)"
rows cifar10 250 50 37500
rows cifar10 4000 50 37500
rows cifar10 250 50 22500 --labelled_classes=6
