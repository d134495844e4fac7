#!/usr/bin/env bash
# Figure 4, two-dimensional features: prints one command a row and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin figure4 1 "$(cat <<'TEXT'
and then

  python -m tf_metamixup.figures --figure=4 --out=figures runs/figure4

MNIST by section IV.B with two units before the logits: 276,000 steps a run.
`bash launch/figures_small.sh` makes a smaller picture.
TEXT
)" "$@"

for row in mixup metamixup; do
    cell sl mnist "$row" "--architecture=cnn3(features=2)"
done
