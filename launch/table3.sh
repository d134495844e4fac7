#!/usr/bin/env bash
# Table III, semi-supervised learning: prints one command a cell and seed. See --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cells.sh"
begin table3 5 "$(cat <<'END'
`python -m tf_metamixup.report runs/table3 --table=3` sets them in the paper's table.

Steps a run (200 epochs over the unlabelled images, 100 a step): CIFAR-10 with 1,000 and 4,000
labels 97,000 and 91,000; SVHN with 500 and 1,000 labels 144,400 and 143,400. Rows that the paper
quotes from other papers (Pi-Model, Mean Teacher, VAT) have their authors' hyper-parameters and the
paper's optimizer and length.
END
)" "$@"

rows="supervised_only pseudo_label pi_model mean_teacher vat vat_em mixup_pseudo_label mixup_apl
    metamixup_pseudo_label metamixup_apl mixmatch mixmatch_metamixup"
for labels in 1000 4000; do
    for row in $rows; do
        cell ssl cifar10 "$row" --num_labels="$labels"
    done
done
for labels in 500 1000; do
    for row in $rows; do
        # These have values of their own on SVHN.
        case "$row" in vat* | mixmatch*) row="${row}_svhn" ;; esac
        cell ssl svhn_cropped "$row" --num_labels="$labels"
    done
done
cell ssl cifar10 mixmatch_without_mixup --num_labels=4000
cell ssl svhn_cropped mixmatch_without_mixup_svhn --num_labels=1000
