#!/usr/bin/env bash
# The runs behind docs/figures.md, at a size that a CPU core trains: prints one command a run.
# See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin figures_small 3 "$(cat <<'TEXT'
Fashion-MNIST, 2,000 images, 1,200 steps, MixUp and MetaMixUp: figures 2, 5, 6, 7 and Proposition 1.
Digits, 4,000 steps, a network with two features: figure 4. Digits, 200 images, 400 steps, meta sets
of 10 to 200 images: figure 3. docs/figures.md has the commands that draw them.
TEXT
)" "$@"

given=(${more[@]+"${more[@]}"})

more=(--train_examples=2000 --batch_size=100 --epochs=60
    "--architecture=cnn3(width=16, batch_norm=True)" ${given[@]+"${given[@]}"})
for row in mixup metamixup; do
    cell sl fashion_mnist "$row"
done

more=(--train_examples=1200 --batch_size=60 --epochs=200
    "--architecture=cnn3(width=16, features=2)" ${given[@]+"${given[@]}"})
for row in mixup metamixup; do
    cell sl digits "$row"
done

more=(--train_examples=200 --batch_size=50 --epochs=100
    "--architecture=cnn3(width=16, batch_norm=True)" ${given[@]+"${given[@]}"})
for size in 10 20 50 100 200; do
    cell sl digits metamixup --num_meta="$size"
done
