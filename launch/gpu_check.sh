#!/usr/bin/env bash
# Is a step on this machine's GPU that of its CPU, to 1e-4, and what does it cost? Plain, exact and
# cached steps of cnn3, WRN-28-2 and PreActResNet-18 in float32, with TensorFloat-32, in bfloat16 and
# compiled by XLA; the numbers go to runs/gpu_check.json. One line and exit code 0 where TensorFlow
# sees no GPU. Flags are those of `python benchmark/gpu.py --help`. Once installed it
# needs no network.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/setup.sh requirements.txt

exec "$PYTHON" benchmark/gpu.py "$@"
