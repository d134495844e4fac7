#!/usr/bin/env bash
# Figure 7, mean lambda by class pair: prints one command a seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin figure7 1 "$(cat <<'TEXT'
and then

  python -m tf_metamixup.figures --figure=7 --epochs=3,30,90,120 --out=figures runs/figure7

CIFAR-10 with ResNet-50 by section IV.B: 229,200 steps a run. The MetaMixUp run of figure 2 is the
same. `bash launch/figures_small.sh` makes a smaller picture.
TEXT
)" "$@"

cell sl cifar10 metamixup --architecture=resnet50
