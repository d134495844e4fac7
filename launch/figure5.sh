#!/usr/bin/env bash
# Figure 5, distances of mixed images: prints one command a row and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
number="${number:-5}" # or 6, by figure6.sh
about="$(cat <<'TEXT'
and then

  python -m tf_metamixup.figures --figure=5 --out=figures runs/figure5

MNIST with the 3-layer CNN by section IV.B: 276,000 steps a run; figures 5 and 6 can be drawn from
the same runs. `bash launch/figures_small.sh` makes a smaller picture.
TEXT
)"
about="${about/figure=5/figure=$number}"
begin "figure$number" 1 "${about/figure5/figure$number}" "$@"

for row in mixup metamixup; do
    cell sl mnist "$row"
done
