#!/usr/bin/env bash
# Figure 6, relative frequency of lambda: prints one command a row and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin figure6 1 "$(cat <<'TEXT'
and then

  python -m tf_metamixup.figures --figure=6 --out=figures runs/figure6

MNIST with the 3-layer CNN by section IV.B: 276,000 steps a run; figure 5 can be drawn from the same
runs. GPU-hours are not measured yet: no run of this project has seen a GPU.
`bash launch/figures_small.sh` makes a smaller picture.
TEXT
)" "$@"

for row in mixup metamixup; do
    cell sl mnist "$row"
done
