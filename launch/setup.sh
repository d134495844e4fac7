# Sourced by the scripts beside it: makes .venv and installs what the files named in "$@" ask for,
# once, and again when those files or pyproject.toml change. Leaves the interpreter's path in
# $PYTHON.
PYTHON="$PWD/.venv/bin/python"

if [ ! -x "$PYTHON" ]; then
    for candidate in python3.13 python3.12 python3.11 python3; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            host="$candidate"
            break
        fi
    done
    if [ -z "${host:-}" ]; then
        echo "error: no Python 3.11, 3.12 or 3.13 with venv and pip was found on PATH" >&2
        exit 1
    fi
    echo "making .venv with $("$host" --version)"
    "$host" -m venv .venv
fi

for file in "$@"; do
    stamp=".venv/installed-$(echo "$file" | tr '/' '-')"
    # pyproject.toml too, which has the versions of what requirements.txt asks for.
    if ! cat pyproject.toml "$file" | cmp -s - "$stamp"; then
        echo "installing $file into .venv"
        "$PYTHON" -m pip install --quiet --disable-pip-version-check --requirement "$file"
        cat pyproject.toml "$file" >"$stamp"
    fi
done
