#!/usr/bin/env bash
# The study of labels of which some are wrong: prints one command a row, condition and seed. See
# --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin noise_study 10 "$(cat <<'END'
Fashion-MNIST, 2,000 training images and 400 trusted ones, about 1,800 steps, with clean labels and
with four kinds of noise; CIFAR-10, 4,000 and 800, about 3,600 steps, with clean labels and with
three sets of labels that people gave (CIFAR-10N by record: $CIFAR10N is the .npz file). Rows with
the same labels: no mixing, MixUp with Beta(1, 1) and Beta(8, 8) on all images and with a fifth of
each batch from the trusted ones, GLC, small loss, the learned lambda, the audit and its three parts
alone. Development has seeds 0 to 4 and is judged on training images that no run uses; certification
has seeds 100 to 109. --seeds=N: at most N of each. --mix_until=0.8: the rows that mix, until then.
A run takes 3 to 15 minutes on a CPU core.

  python -m tf_metamixup.report runs/noise_study --against="beta(per_sample=True)"
END
)" "$@"
most="$seeds"
given=(${more[@]+"${more[@]}"})

cifar10n="${CIFAR10N:-cifar10n_by_record.npz}"
beta="--policy=beta(per_sample=True)"
pooled=--meta_source=train
oversampled=--trusted_share=0.2

# unmixed MODE DATA ROW [FLAG...]: a cell that --mix_until would not change.
unmixed() {
    [[ "${given[*]-}" == *--mix_until=* ]] || cell "$@"
}

# condition DATA [FLAG...]: all rows on one data set, with one kind of noise.
condition() {
    local data="$1"
    shift
    # The audit keeps a quarter of the trusted images to itself: 4 % fewer steps.
    local plain=(--epochs=75 "$@")
    unmixed sl "$data" baseline "${plain[@]}" $pooled
    cell sl "$data" mixup "${plain[@]}" "$beta" $pooled
    cell sl "$data" mixup "${plain[@]}" "--policy=beta(8.0, per_sample=True)" $pooled
    cell sl "$data" mixup "${plain[@]}" "$beta" $oversampled
    cell sl "$data" mixup "${plain[@]}" "--policy=beta(8.0, per_sample=True)" $oversampled
    unmixed sl "$data" baseline "${plain[@]}" --method=glc $oversampled
    cell sl "$data" mixup "${plain[@]}" --method=glc "$beta" $oversampled
    cell sl "$data" mixup "${plain[@]}" --method=small_loss --policy=dynamic $oversampled
    cell sl "$data" metamixup "${plain[@]}" --policy=meta $oversampled
    cell sl "$data" mixup "${plain[@]}" --method=audit --policy=dynamic $oversampled
    cell sl "$data" mixup "${plain[@]}" "--method=audit(weights=False)" "$beta" $oversampled
    cell sl "$data" mixup "${plain[@]}" "--method=audit(targets=False)" "$beta" $oversampled
    cell sl "$data" mixup "${plain[@]}" "--method=audit(targets=False, weights=False)" \
        --policy=dynamic $oversampled
}

# study FIRST COUNT [FLAG...]: all conditions with these seeds and flags.
study() {
    local noise network="batch_norm=True, average_pool=True"
    first="$1"
    seeds=$(($2 < most ? $2 : most))
    shift 2
    local usual=(--batch_size=100 --noexport --evaluate_every=25 --checkpoint_every=25 "$@"
        ${given[@]+"${given[@]}"})
    more=(--train_examples=2000 --num_meta=400 "--architecture=cnn3(width=16, $network)"
        "${usual[@]}")
    for noise in "symmetric(0.0)" "symmetric(0.2)" "symmetric(0.4)" "symmetric(0.6)" "asymmetric(0.4)"; do
        condition fashion_mnist "--label_noise=$noise"
    done
    more=(--train_examples=4000 --num_meta=800 "--architecture=cnn3(width=24, $network)"
        "${usual[@]}")
    for noise in "" aggre_label random_label1 worse_label; do
        condition cifar10 ${noise:+"--label_noise=file('$cifar10n', column='$noise')"}
    done
}

study 0 5 --evaluate_on=unused
study 100 10
