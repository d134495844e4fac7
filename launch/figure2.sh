#!/usr/bin/env bash
# Figure 2, training loss of MixUp and MetaMixUp: prints one command a row and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin figure2 1 "$(cat <<'TEXT'
and then

  python -m tf_metamixup.figures --figure=2 --out=figures runs/figure2

CIFAR-10 with ResNet-50 by section IV.B: 229,200 steps a run. A MetaMixUp step costs 4.1 to 4.2
times a MixUp step (docs/results.md, measured on a CPU). `bash launch/figures_small.sh` makes a
smaller picture.
TEXT
)" "$@"

for row in mixup metamixup; do
    cell sl cifar10 "$row" --architecture=resnet50
done
