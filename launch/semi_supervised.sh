#!/usr/bin/env bash
# Which semi-supervised method to pick, at sizes that two CPU cores train: prints one command a row
# and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin semi_supervised 3 "$(cat <<'END'
Batches of 20 labelled images, 7 unlabelled ones for each where the method wants that, SGD with
momentum at 0.03 and a cosine. Fashion-MNIST with 40 and 1,000 labels (2,250 steps) and with 250
(6,000 steps); CIFAR-10 with 250 and 4,000 (2,250 steps) and a head of average pooling, without
which this network hardly learns there. Of both also an unclean pool: 6 of 10 classes have labels
(2,250 steps). Weights are averaged. MixMatch's weight rises as its code lets it rise; APL's
threshold falls to 0.75 in 2 epochs and to 0.65 in 4. The rows with MetaMixUp read 500 labels more.
What was run, and its results: docs/semi_supervised.md.
END
)" "$@"
given=(${more[@]+"${more[@]}"})

# rows DATA LABELS OTHERS EPOCHS WEIGHT [FLAG...]: nine rows; the flags are part of their names.
rows() {
    local data="$1" own=("--num_labels=$2" "${@:6}") network="width=16, batch_norm=True"
    if [[ $data == cifar10 ]]; then network+=", average_pool=True"; fi
    local once=("--epochs=$4" --ema=0.999) seven=("--epochs=$((7 * $4))" --ema=0.999)
    local mixmatch="--method=mixmatch(coefficient=$5, ramp=1.0)"
    local apl="--method=pseudo_label(decay=0.$((4 / $4)), period=1)"
    more=("--train_examples=$(($2 + $3))" --batch_size=20 --learning_rate=0.03 --schedule=cosine
        --noexport "--architecture=cnn3($network)" ${given[@]+"${given[@]}"})
    cell ssl "$data" supervised_only "${own[@]}" "${once[@]}"
    cell ssl "$data" pseudo_label "${own[@]}" "${once[@]}"
    cell ssl "$data" mixmatch "${own[@]}" "$mixmatch" "--epochs=$4"
    cell ssl "$data" fixmatch "${own[@]}" "${seven[@]}"
    cell ssl "$data" freematch "${own[@]}" "${seven[@]}"
    cell ssl "$data" metamixup_apl "${own[@]}" "$apl" "${once[@]}"
    cell ssl "$data" mixmatch_metamixup "${own[@]}" "$mixmatch" "--epochs=$4"
    cell ssl "$data" fixmatch_mixup "${own[@]}" "${seven[@]}"
    cell ssl "$data" fixmatch_metamixup "${own[@]}" "${seven[@]}"
}

rows fashion_mnist 40 22500 2 10.3
rows fashion_mnist 250 30000 4 27.5
rows fashion_mnist 1000 22500 2 10.3
# As many images of each of the other four classes, 22,500 in all.
rows fashion_mnist 250 13500 2 10.3 --labelled_classes=6
rows cifar10 250 22500 2 10.3
rows cifar10 4000 22500 2 10.3
rows cifar10 250 13500 2 10.3 --labelled_classes=6
