#!/usr/bin/env bash
# The faults that a run has to survive, more of them than the tests try: 20 kills at random
# moments, and all that is tried with real processes, as root also a disk that is really full.
#   bash launch/endurance.sh [PYTEST ARGUMENTS]
# KILLS=100 asks for more; KILL_SEED=n repeats the kills of a run that printed this number.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/setup.sh requirements.txt tests/requirements.txt

KILLS="${KILLS:-20}" "$PYTHON" -m pytest -v -rA --durations=0 \
    tests/system/test_survival.py tests/distribution/test_workers.py \
    tests/system/test_full_disk.py "$@"
