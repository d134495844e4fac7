#!/usr/bin/env bash
# Builds the documentation site into site/, after installing what that takes into .venv. Any warning
# is an error. Arguments go to mkdocs: launch/docs.sh --site-dir=/tmp/site
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/setup.sh docs/requirements.txt

# Silences an announcement of mkdocs-material, which is no warning about these pages.
NO_MKDOCS_2_WARNING=1 "$PYTHON" -m mkdocs build --strict --clean "$@"
