#!/usr/bin/env bash
# Table II, MixUp by alpha and by lambda: prints one command a cell and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin table2 5 "$(cat <<'END'
`python -m tf_metamixup.report runs/table2 --table=2` sets them in the paper's table.

Steps a run (600 epochs of batches of 128): MNIST 276,000; SVHN 338,400; CIFAR-10 and -100 229,200.
A MetaMixUp step costs 4.1 to 4.2 times a MixUp step (docs/results.md, measured on a CPU). The paper
prints WRN-28-10's MetaMixUp row beside PreActResNet-18's others; here all are PreActResNet-18.
END
)" "$@"

for row in baseline mixup_alpha0_5 mixup mixup_alpha2 mixup_lambda0_1 mixup_lambda0_2 \
    mixup_lambda0_3 mixup_lambda0_4 mixup_lambda0_5 metamixup; do
    for data in cifar10 cifar100 svhn_cropped; do
        cell sl "$data" "$row" --architecture=preact_resnet18
    done
    cell sl mnist "$row"
done
