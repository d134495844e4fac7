#!/usr/bin/env bash
# Every row of tables I, III and IV for two epochs on the digits data set, then the table of what
# came out: a look at all of them in some 7 minutes of 2 cores, with no download.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/setup.sh requirements.txt

train() {
    local mode="$1" row="$2"
    echo "== $row"
    "$PYTHON" -m tf_metamixup.main --flagfile="flags/$mode.flags" --flagfile="flags/row/$row.flags" \
        --architecture="cnn3(width=16, batch_norm=True)" --epochs=2 --batch_size=50 --noexport \
        --run_dir="runs/rows/$row"
}

for row in baseline mixup adamixup_without_discriminator adamixup metamixup manifold_mixup; do
    train sl "$row"
done
for row in supervised_only pseudo_label apl pi_model mean_teacher vat vat_em mixup_pseudo_label \
    mixup_apl metamixup_pseudo_label metamixup_apl mixmatch_without_mixup mixmatch \
    mixmatch_metamixup; do
    train ssl "$row"
done
"$PYTHON" -m tf_metamixup.report runs/rows
