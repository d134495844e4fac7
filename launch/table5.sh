#!/usr/bin/env bash
# Table V, MetaMixUp + APL by sigma_d: prints one command a cell and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin table5 5 "$(cat <<'END'
`python -m tf_metamixup.report runs/table5 --table=5` sets them in the paper's table.

Steps a run (200 epochs over the unlabelled images, 100 a step): CIFAR-10 with 4,000 labels 91,000;
SVHN with 1,000 labels 143,400.
END
)" "$@"

for row in metamixup_apl_decay0_01 metamixup_apl metamixup_apl_decay0_1 metamixup_apl_decay0_2; do
    cell ssl cifar10 "$row" --num_labels=4000
    cell ssl svhn_cropped "$row" --num_labels=1000
done
