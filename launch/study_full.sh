#!/usr/bin/env bash
# The study of learned lambdas on full data sets, with the paper's networks: prints one command a
# cell and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin study_full 5 "$(cat <<'END'
The rows of study.sh by the paper's protocol, 600 epochs of batches of 128: 276,000 steps on
Fashion-MNIST with cnn3, 229,200 on CIFAR-10 with WRN-28-10; where the meta images are trained on
too, 280,800 and 234,000. Nobody has run them here. What came out, paired by seed:

  python -m tf_metamixup.report runs/study_full --against="beta(per_sample=True)"
END
)" "$@"

beta="--policy=beta(per_sample=True)"
cached="estimator='cached'"
for network in "fashion_mnist cnn3" "cifar10 wrn_28_10"; do
    read -r data architecture <<<"$network"
    architecture="--architecture=$architecture"
    cell sl "$data" baseline "$architecture"
    cell sl "$data" mixup "$beta" "$architecture"
    cell sl "$data" mixup "--policy=beta(0.5, per_sample=True)" "$architecture"
    cell sl "$data" metamixup "--policy=meta(estimator='vjp')" "$architecture"
    cell sl "$data" metamixup "--policy=meta($cached)" "$architecture"
    cell sl "$data" metamixup "--policy=meta($cached, shuffle=True)" "$architecture"
    cell sl "$data" mixup "$beta" --meta_source=train "$architecture"
done
