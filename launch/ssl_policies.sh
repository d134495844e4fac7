#!/usr/bin/env bash
# Which policy in semi-supervised training, at equal labels: prints one command a row, data set and
# seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin ssl_policies 10 "$(cat <<'END'
Fashion-MNIST with 1,000 labelled and 5,000 unlabelled images, 2,000 steps; CIFAR-10 with 1,000 and
10,000, 4,000 steps; 40 epochs. 500 of the labelled images are the meta set of the rows that learn
lambda; all rows train on all 1,000. Seeds 100 to 109. Rows: APL with Beta(1, 1), Beta(0.5, 0.5)
and Beta(0.3, 0.3), and with the learned lambda: cached, shuffled, and exact. A run on Fashion-MNIST
takes 2 to 8 minutes on 2 CPU cores.

  python -m tf_metamixup.report runs/ssl_policies --against="beta(per_sample=True)"
END
)" "$@"
first=100
given=(${more[@]+"${more[@]}"})
apl="--method=pseudo_label(decay=0.05, period=7)"

# rows DATA IMAGES WIDTH: all rows on one data set.
rows() {
    local policy
    more=(--num_labels=500 --num_meta=500 --meta_source=train "--train_examples=$2" --epochs=40
        "--architecture=cnn3(width=$3, batch_norm=True)" --noexport --evaluate_every=20
        ${given[@]+"${given[@]}"})
    for policy in "beta(per_sample=True)" "beta(0.5, per_sample=True)" "beta(0.3, per_sample=True)"; do
        cell ssl "$1" mixup_apl "$apl" "--policy=$policy"
    done
    for policy in meta "meta(shuffle=True)" "meta(estimator='nested')"; do
        cell ssl "$1" metamixup_apl "$apl" "--policy=$policy"
    done
}

rows fashion_mnist 5500 16
rows cifar10 10500 24
