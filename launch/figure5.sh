#!/usr/bin/env bash
# Figure 5, distances of mixed images: prints one command a row and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin figure5 1 "$(cat <<'TEXT'
and then

  python -m tf_metamixup.figures --figure=5 --out=figures runs/figure5

MNIST with the 3-layer CNN by section IV.B: 276,000 steps a run; figure 6 can be drawn from the same
runs. GPU-hours are not measured yet: no run of this project has seen a GPU.
`bash launch/figures_small.sh` makes a smaller picture.
TEXT
)" "$@"

for row in mixup metamixup; do
    cell sl mnist "$row"
done
