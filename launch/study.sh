#!/usr/bin/env bash
# The study of learned lambdas against plain MixUp: prints one command a cell and seed. See --help.
set -euo pipefail
here="$(dirname "${BASH_SOURCE[0]}")"
source "$here/cells.sh"
source "$here/study_rows.sh"
begin study 10 "$(cat <<'END'
4,000 steps a run (8,800 at equal cost) of a small network with BatchNorm.
Development: Fashion-MNIST, 2,000 images, seeds 0 to 4, judged on 10,000 training images that no run
uses, to choose the default of --policy=meta. Certification: the same with seeds from 100, 10 or 5 of
them, judged by the test images. CIFAR-10: 5,000 images, seeds 100 to 104. With --seeds=N at most N
of each. A run takes 2.5 to 9 minutes on a CPU core. What came out, paired by seed:

  python -m tf_metamixup.report runs/study --against="beta(per_sample=True)"

docs/study/results.jsonl has what came out here: give the report docs/study.
END
)" "$@"
most="$seeds"

small=(--batch_size=100 --noexport --evaluate_every=50 --checkpoint_every=50
    "--architecture=cnn3(width=16, batch_norm=True)" ${more[@]+"${more[@]}"})

# rows FIRST COUNT [FLAG...]: what follows has these seeds and flags.
rows() {
    first="$1"
    seeds=$(($2 < most ? $2 : most))
    shift 2
    more=("$@" "${small[@]}")
}
