#!/usr/bin/env bash
# Makes or updates the environment: set_up.sh FOLDER PYTHON (an interpreter, or empty to search one)
set -euo pipefail
environment=$1
chosen=${2:-}
torch=$(grep '^torch==' requirements/cpu.txt)

is_supported() {
    command -v "$1" >/dev/null && "$1" -c 'import sys, venv, ensurepip
sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

# An environment keeps its Python. A new one takes the machine's own python3, which its user knows,
# and where that is none of the three the newest.
find_python() {
    if [ -n "$chosen" ]; then
        is_supported "$chosen" && echo "$chosen" && return
        echo "PYTHON=$chosen is not a Python 3.11, 3.12 or 3.13 with its venv module; name one that" \
            "is" >&2
        return 1
    fi
    local kept=
    [ ! -x "$environment/bin/pip" ] || kept=$environment/bin/python
    for candidate in "$kept" python3 python3.13 python3.12 python3.11 python; do
        is_supported "$candidate" && echo "$candidate" && return
    done
    echo "no Python 3.11, 3.12 or 3.13 with its venv module was found; install one (Debian and" \
        "Ubuntu: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python" >&2
    return 1
}

version() { "$1" -c 'import sys; print("{}.{}".format(*sys.version_info))' 2>/dev/null; }

step() { echo "set-up: $*"; }

python=$(find_python)
"$python" requirements/check_machine.py "$environment"
step "environment in $environment with Python $(version "$python")"
if ! requirements/in_place.sh "$environment" ||
    [ "$(version "$environment/bin/python")" != "$(version "$python")" ]; then
    "$python" -m venv --clear "$environment"
fi

export PIP_DISABLE_PIP_VERSION_CHECK=1
pip=("$environment/bin/python" -m pip install --quiet --quiet)

# Where no index answers, trying again and again only takes time.
retries=()
"$environment/bin/python" -m pip index versions numpy --retries 0 >/dev/null 2>&1 || retries=(--retries 0)

# Only torch is looked up at PyTorch's index: asked for every package, an index that cannot be reached
# makes each look-up slow.
torch_index=https://download.pytorch.org/whl/cpu
install_torch() {
    step "installing $torch"
    "${pip[@]}" "${retries[@]}" --no-deps "$torch" 2>/dev/null && return
    "${pip[@]}" --retries 1 --no-deps --index-url $torch_index "$torch" 2>/dev/null && return
    if [ ${#retries[@]} -gt 0 ]; then
        echo "no package index can be reached, neither pip's own nor $torch_index; connect this" \
            "machine, or name an index in PIP_INDEX_URL or a folder of wheels in PIP_FIND_LINKS" >&2
        exit 1
    fi
    step "neither pip's index nor PyTorch's has $torch for Python $(version "$python");" \
        "installing the build with CUDA's libraries, which runs on CPUs as well: 3 GB to fetch," \
        "4 GiB more on the disk"
    "${pip[@]}" "${torch%+cpu}"
}

install_torch
step "installing $(grep -c == requirements/cpu.txt) packages of requirements/cpu.txt: some minutes"
"${pip[@]}" --no-deps -r <(grep -v '^torch==' requirements/cpu.txt)
"${pip[@]}" --no-deps --no-build-isolation --editable .
step "done"
