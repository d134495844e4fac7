#!/usr/bin/env bash
# Sets .venv up if it is missing, then checks the style and runs the tests that are not slow.
# Arguments go to pytest: launch/test.sh -m "" runs all, as .ci/run does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/setup.sh requirements.txt tests/requirements.txt

"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
# Two workers: most of a test's time is building graphs, which uses one core.
"$PYTHON" -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder \
    --max-worker-restart=0 -ra --durations=10 -m "not slow" "$@"
