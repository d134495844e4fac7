# Sourced by table1.sh to table5.sh: prints commands, one a cell and seed, and runs nothing.
#
# `begin TABLE TEXT "$@"` reads the options; `cell MODE DATA ROW [FLAG...]` prints a cell.

begin() {
    table="$1"
    local about="$2"
    shift 2
    seeds=5
    more=""
    for argument in "$@"; do
        case "$argument" in
        --help)
            cat <<END
usage: bash launch/table$table.sh [--seeds=N] [--FLAG=VALUE...]

Prints one command for each cell and seed (default: seeds 0 to 4) and runs nothing. Other flags are
added to every command. To run all, one after the other:

  bash launch/table$table.sh | bash
  python -m tf_metamixup.report runs/table$table --table=$table

$about
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
        --*=* | --[a-z]*) more+=" $(printf '%q' "$argument")" ;;
        *)
            echo "error: unexpected argument '$argument'; see --help" >&2
            exit 2
            ;;
        esac
    done
}

cell() {
    local mode="$1" data="$2" row="$3" seed name
    shift 3
    name="$data-$row"
    for flag in "$@"; do
        name+="-${flag#*=}"
    done
    for ((seed = 0; seed < seeds; seed++)); do
        echo "python -m tf_metamixup.main --flagfile=flags/$mode.flags" \
            "--flagfile=flags/data/$data.flags --flagfile=flags/row/$row.flags${*:+ $*}" \
            "--seed=$seed --run_dir=runs/table$table/$name-seed$seed$more"
    done
}
