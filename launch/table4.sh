#!/usr/bin/env bash
# Table IV, constant and falling thresholds: prints one command a cell and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin table4 5 "$(cat <<'END'
`python -m tf_metamixup.report runs/table4 --table=4` sets them in the paper's table.

Steps a run (200 epochs over the unlabelled images, 100 a step): CIFAR-10 with 1,000 and 4,000
labels 97,000 and 91,000; SVHN with 500 and 1,000 labels 144,400 and 143,400. The Pseudo-Label row
is that of Table III.
END
)" "$@"

for row in pseudo_label apl; do
    for labels in 1000 4000; do
        cell ssl cifar10 "$row" --num_labels="$labels"
    done
    for labels in 500 1000; do
        cell ssl svhn_cropped "$row" --num_labels="$labels"
    done
done
