#!/usr/bin/env bash
# Table I, supervised learning: prints one command a cell and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin table1 5 "$(cat <<'END'
`python -m tf_metamixup.report runs/table1 --table=1` sets them in the paper's table.

Steps a run (600 epochs of batches of 128): MNIST, Fashion-MNIST 276,000; SVHN 338,400; CIFAR-10 and
-100 229,200; ImageNet 6,000,600. A MetaMixUp step costs 4.1 to 4.2 times a MixUp step
(docs/results.md, measured on a CPU). The top-1 and top-5 columns of ImageNet are one run. The paper
does not say how many seeds it has.
END
)" "$@"

for data in mnist fashion_mnist; do
    for row in baseline mixup adamixup metamixup; do
        cell sl "$data" "$row"
    done
done
for data in svhn_cropped cifar10 cifar100 imagenet2012; do
    for row in baseline mixup adamixup metamixup; do
        cell sl "$data" "$row" --architecture=preact_resnet18
    done
    for architecture in preact_resnet34 wrn_28_10; do
        for row in baseline mixup metamixup; do
            cell sl "$data" "$row" --architecture="$architecture"
        done
    done
done
for data in cifar10 cifar100; do
    cell sl "$data" adamixup_without_discriminator --architecture=preact_resnet18
done
