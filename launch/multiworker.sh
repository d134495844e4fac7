#!/usr/bin/env bash
# Starts N workers of one job on this machine:
#   bash launch/multiworker.sh N COMMAND...
# Each gets TF_CONFIG with its own index and a free port of the loopback. Worker 0, the chief, writes
# to this terminal; the others to worker1.log, ... in LOGS (default: a new folder, which is named).
# Ends when all have ended, with the first exit code that is not 0; a signal goes to all of them.
set -euo pipefail

usage="usage: bash launch/multiworker.sh N COMMAND...  (N workers on this machine; N >= 1)"
if [ "${1:-}" = --help ]; then
    echo "$usage"
    exit 0
fi
if [ $# -lt 2 ] || ! [[ "$1" =~ ^[1-9][0-9]*$ ]]; then
    echo "$usage" >&2
    exit 2
fi
count="$1"
shift

is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

workers=()
port=$((20000 + RANDOM % 20000))
while [ "${#workers[@]}" -lt "$count" ]; do
    if is_free "$port"; then workers+=("\"127.0.0.1:$port\""); fi
    port=$((port + 1))
done
cluster="{\"worker\": [$(IFS=,; echo "${workers[*]}")]}"
logs="${LOGS:-$(mktemp -d)}"
mkdir -p "$logs"

pids=()
for ((index = count - 1; index >= 0; index--)); do
    export TF_CONFIG="{\"cluster\": $cluster, \"task\": {\"type\": \"worker\", \"index\": $index}}"
    if [ "$index" -eq 0 ]; then
        "$@" &
    else
        "$@" >"$logs/worker$index.log" 2>&1 &
        echo "worker $index: pid $!, log $logs/worker$index.log" >&2
    fi
    pids+=($!)
done
trap 'kill -TERM "${pids[@]}" 2>/dev/null || true' TERM INT

code=0
for pid in "${pids[@]}"; do
    # A trapped signal ends `wait` before the worker has ended.
    while kill -0 "$pid" 2>/dev/null; do wait "$pid" || true; done
    ended=0
    wait "$pid" || ended=$?
    if [ "$code" -eq 0 ]; then code="$ended"; fi
done
exit "$code"
