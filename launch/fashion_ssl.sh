#!/usr/bin/env bash
# Nine rows of semi-supervised learning on Fashion-MNIST, at a size that two CPU cores train: prints
# one command a row and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin fashion_ssl 3 "$(cat <<'END'
2,000 steps a run: 500 labelled and 5,000 unlabelled images, a small network with BatchNorm. APL's
threshold falls every 7 of 40 epochs, a sixth of the run; VAT moves images by 1, as on SVHN, since
they are not whitened; MixMatch's weight rises as its code lets it rise, to 75 in 16,384 steps, and
so to 9.16 in 2,000. About an hour a seed on 2 CPU cores.
END
)" "$@"

more=(--num_labels=500 --train_examples=5500 --epochs=40
    "--architecture=cnn3(width=16, batch_norm=True)" ${more[@]+"${more[@]}"})
apl="--method=pseudo_label(decay=0.05, period=7)"
mixmatch="--method=mixmatch(coefficient=9.16, ramp=1.0)"

cell ssl fashion_mnist supervised_only
cell ssl fashion_mnist pseudo_label
cell ssl fashion_mnist apl "$apl"
cell ssl fashion_mnist mean_teacher
cell ssl fashion_mnist vat_svhn
cell ssl fashion_mnist mixmatch "$mixmatch"
cell ssl fashion_mnist mixup_apl "$apl"
cell ssl fashion_mnist metamixup_apl "$apl"
cell ssl fashion_mnist mixmatch_metamixup "$mixmatch"
