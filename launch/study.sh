#!/usr/bin/env bash
# The study of learned lambdas against plain MixUp: prints one command a cell and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin study 10 "$(cat <<'END'
Development: Fashion-MNIST, 2,000 images, 4,000 steps, a small network with BatchNorm, seeds 0 to 4,
judged on 10,000 training images that no run uses, to choose. Certification: the same with seeds 100
to 109 (some to 104), judged by the test images; at equal cost MixUp has as many more epochs as
a step of the learned lambda costs more. CIFAR-10: 5,000 images, seeds 100 to 104. --seeds=N: at
most N of each. A run takes 3 to 9 minutes on a CPU core. What came out, paired by seed:

  python -m tf_metamixup.report runs/study --against="beta(per_sample=True)"

What came out here is in docs/study, which the report reads as well.
END
)" "$@"
most="$seeds"
given=(${more[@]+"${more[@]}"})

beta="--policy=beta(per_sample=True)"
u_shaped="--policy=beta(0.5, per_sample=True)"
cached="estimator='cached'"
small=(--batch_size=100 --noexport --evaluate_every=50 --checkpoint_every=50
    "--architecture=cnn3(width=16, batch_norm=True)")

# rows FIRST COUNT [FLAG...]: the cells that follow have these seeds, and these flags.
rows() {
    first="$1"
    seeds=$(($2 < most ? $2 : most))
    shift 2
    more=("$@" "${small[@]}" ${given[@]+"${given[@]}"})
}

rows 0 5 --evaluate_on=unused --train_examples=2000
cell sl fashion_mnist baseline --epochs=200
cell sl fashion_mnist mixup "$beta" --epochs=200
cell sl fashion_mnist mixup "$u_shaped" --epochs=200
cell sl fashion_mnist mixup "--policy=beta(0.3, per_sample=True)" --epochs=200
cell sl fashion_mnist metamixup "--policy=meta(estimator='vjp')" --epochs=200
cell sl fashion_mnist metamixup "--policy=meta($cached)" --epochs=200
cell sl fashion_mnist metamixup "--policy=meta($cached, alpha=0.5)" --epochs=200
cell sl fashion_mnist metamixup "--policy=meta($cached, shuffle=True)" --epochs=200
cell sl fashion_mnist mixup "$beta" --epochs=133 --meta_source=train
cell sl fashion_mnist mixup "$u_shaped" --epochs=133 --meta_source=train
cell sl fashion_mnist metamixup "--policy=meta($cached)" --epochs=133 --meta_source=train

rows 100 10 --train_examples=2000
cell sl fashion_mnist baseline --epochs=200
cell sl fashion_mnist mixup "$beta" --epochs=200
cell sl fashion_mnist mixup "$u_shaped" --epochs=200
cell sl fashion_mnist metamixup "--policy=meta($cached)" --epochs=200
cell sl fashion_mnist metamixup "--policy=meta($cached, shuffle=True)" --epochs=200
# Equal cost.
cell sl fashion_mnist mixup "$beta" --epochs=440
# Equal labels: the meta images are trained on as well, 30 steps an epoch and 3,990 in all.
cell sl fashion_mnist mixup "$beta" --epochs=133 --meta_source=train
cell sl fashion_mnist mixup "$u_shaped" --epochs=133 --meta_source=train
cell sl fashion_mnist metamixup "--policy=meta($cached)" --epochs=133 --meta_source=train
rows 100 5 --train_examples=2000
cell sl fashion_mnist metamixup "--policy=meta(estimator='vjp')" --epochs=200
cell sl fashion_mnist metamixup "--policy=meta($cached, step_size=-1.0)" --epochs=200
cell sl fashion_mnist metamixup "--policy=meta($cached, shuffle=True)" --epochs=133 --meta_source=train

rows 100 5 --train_examples=5000 --epochs=80
cell sl cifar10 baseline
cell sl cifar10 mixup "$beta"
cell sl cifar10 mixup "$u_shaped"
cell sl cifar10 metamixup "--policy=meta($cached)"
cell sl cifar10 metamixup "--policy=meta($cached, shuffle=True)"
# Equal labels: 60 steps an epoch and 3,960 in all.
rows 100 5 --train_examples=5000
cell sl cifar10 mixup "$beta" --epochs=66 --meta_source=train
