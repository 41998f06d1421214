#!/usr/bin/env bash
# Makes or updates the environment: set_up.sh FOLDER PYTHON (an interpreter, or empty to search one)
set -euo pipefail
environment=$1
chosen=${2:-}
torch=$(grep '^torch==' requirements/cpu.txt)

is_python_311() {
    command -v "$1" >/dev/null &&
        "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null
}

find_python() {
    if [ -n "$chosen" ]; then
        is_python_311 "$chosen" && echo "$chosen" && return
        echo "PYTHON=$chosen is not a Python 3.11 with its venv module; name one that is" >&2
        return 1
    fi
    for candidate in python3.11 python3 python; do
        is_python_311 "$candidate" && echo "$candidate" && return
    done
    echo "no Python 3.11 with its venv module was found; install it (Debian and Ubuntu:" \
        "apt install python3.11 python3.11-venv), or name it: make PYTHON=/path/to/python3.11" >&2
    return 1
}

step() { echo "set-up: $*"; }

python=$(find_python)
"$python" requirements/check_machine.py "$environment"
step "environment in $environment with $("$python" --version)"
if [ -d "$environment" ] && ! is_python_311 "$environment/bin/python"; then
    "$python" -m venv --clear "$environment"
elif ! [ -x "$environment/bin/pip" ]; then
    "$python" -m venv "$environment"
fi

export PIP_DISABLE_PIP_VERSION_CHECK=1
install=("$environment/bin/python" -m pip install --quiet --quiet --no-deps)
step "installing $torch"
# Where pip's own index lacks the CPU build, PyTorch's has it. Only this package is looked up there.
"${install[@]}" "$torch" 2>/dev/null ||
    "${install[@]}" --index-url https://download.pytorch.org/whl/cpu "$torch"
step "installing $(grep -c == requirements/cpu.txt) packages of requirements/cpu.txt: some minutes"
"${install[@]}" -r requirements/cpu.txt
"${install[@]}" --no-build-isolation --editable .
step "done"
