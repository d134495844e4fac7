#!/usr/bin/env bash
# Proposition 1, interpolation gap and kappa: prints one command a row and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin proposition1 1 "$(cat <<'TEXT'
and then

  python -m tf_metamixup.figures --figure=proposition1 --out=figures runs/proposition1

The paper measures nothing here. CIFAR-10 with PreActResNet-18 by section IV.B, without MixUp, with
it and with MetaMixUp: 229,200 steps a run. `bash launch/figures_small.sh` makes a smaller picture.
TEXT
)" "$@"

for row in baseline mixup metamixup; do
    cell sl cifar10 "$row" --architecture=preact_resnet18
done
