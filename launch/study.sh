#!/usr/bin/env bash
# The study of learned lambdas against plain MixUp: prints one command a cell and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin study 5 "$(cat <<'END'
Development: Fashion-MNIST, 2,000 images, 4,000 steps, a small network with BatchNorm, judged on
10,000 training images that no run uses. A run takes 3 to 12 minutes on a CPU core. What came out,
paired by seed:

  python -m tf_metamixup.report runs/study --against="beta(per_sample=True)"
END
)" "$@"

more=(--train_examples=2000 --batch_size=100 --epochs=200 --noexport --evaluate_every=50
    --checkpoint_every=50 --evaluate_on=unused "--architecture=cnn3(width=16, batch_norm=True)"
    ${more[@]+"${more[@]}"})

cached="estimator='top_block_cached'"
cell sl fashion_mnist baseline
cell sl fashion_mnist mixup "--policy=beta(per_sample=True)"
cell sl fashion_mnist mixup "--policy=beta(0.5, per_sample=True)"
cell sl fashion_mnist metamixup "--policy=meta(estimator='vjp')"
for step_size in 0.5 1.0 2.0; do
    cell sl fashion_mnist metamixup "--policy=meta($cached, step_size=$step_size)"
    cell sl fashion_mnist metamixup "--policy=meta($cached, step_size=$step_size, matched=True)"
done
cell sl fashion_mnist metamixup "--policy=meta($cached, step_size=10.0, matched=True)"
cell sl fashion_mnist metamixup "--policy=meta_net($cached)"
cell sl fashion_mnist metamixup "--policy=meta_net($cached, matched=True)"
