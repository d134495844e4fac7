#!/usr/bin/env bash
# Figure 3, error against the size of the meta set: prints one command a size and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin figure3 5 "$(cat <<'TEXT'
and then

  python -m tf_metamixup.figures --figure=3 --out=figures runs/figure3

CIFAR-10 and SVHN with PreActResNet-18 by section IV.B, meta sets of 10 to 200 images a class. The
paper does not say what is trained on; here it is as many images in every run, what the largest meta
set leaves (48,000 and 71,257). Steps a run: CIFAR-10 225,000; SVHN 333,600.
`bash launch/figures_small.sh` makes a smaller picture.
TEXT
)" "$@"

given=(${more[@]+"${more[@]}"})
for data in cifar10:48000 svhn_cropped:71257; do
    more=("--train_examples=${data#*:}" ${given[@]+"${given[@]}"})
    for each in 10 20 50 100 150 200; do
        cell sl "${data%:*}" metamixup --architecture=preact_resnet18 --num_meta=$((10 * each))
    done
done
