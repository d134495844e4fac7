# Sourced by scripts that print commands, one a cell and seed, and run nothing.
#
# `begin NAME SEEDS TEXT "$@"` reads the options; `cell MODE DATA ROW [FLAG...]` prints a cell, and
# its seeds begin with $first. Runs that have finished are not printed again; flags that were given
# are part of a run's name ($suffix), so that a run with others is not taken for it.
first=0

begin() {
    study="$1"
    seeds="$2"
    local about="$3"
    shift 3
    more=()
    suffix=""
    for argument in "$@"; do
        case "$argument" in
        --help)
            cat <<END
usage: bash launch/$study.sh [--seeds=N] [--FLAG=VALUE...]

Prints one command for each cell and seed (default: $seeds seeds, from 0) and runs nothing. Other
flags are added to every command and, but for --data_dir, to the names of the runs. Runs that lie
finished in runs/$study are left out, and named on stderr. To run all, one after the other, and see
what came out:

  bash launch/$study.sh | bash
  python -m tf_metamixup.report runs/$study

$about

GPU-hours are not measured.
END
            exit 0
            ;;
        --seeds=*)
            seeds="${argument#--seeds=}"
            if ! [[ "$seeds" =~ ^[1-9][0-9]*$ ]]; then
                echo "error: --seeds=$seeds must be a whole number from 1" >&2
                exit 2
            fi
            ;;
        --[a-z]*)
            more+=("$argument")
            [[ "$argument" == --data_dir=* ]] || suffix+="-${argument#--}"
            ;;
        *)
            echo "error: unexpected argument '$argument'; see --help" >&2
            exit 2
            ;;
        esac
    done
}

cell() {
    local mode="$1" data="$2" row="$3" seed name flag folder
    shift 3
    name="$data-$row"
    for flag in "$@"; do
        name+="-${flag#*=}"
    done
    name+="$suffix"
    name="${name//[^A-Za-z0-9_.-]/_}"
    for ((seed = first; seed < first + seeds; seed++)); do
        folder="runs/$study/$name-seed$seed"
        if grep -qs '^ "status": "finished"' "$folder/result.json"; then
            echo "finished: $folder" >&2
            continue
        fi
        printf '%s -m %s' python tf_metamixup.main
        printf ' %q' "--flagfile=flags/$mode.flags" "--flagfile=flags/data/$data.flags" \
            "--flagfile=flags/row/$row.flags" "$@" "--seed=$seed" \
            "--run_dir=$folder" ${more[@]+"${more[@]}"}
        echo
    done
}
