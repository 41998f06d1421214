#!/usr/bin/env bash
# in_place.sh FOLDER: whether an environment lies where it was made. Its scripts name its own Python by
# the whole path, so one that was moved or copied cannot be used, or uses another's packages.
set -euo pipefail
script=$1/bin/pip
[ -x "$script" ] || exit 1
there=$(cd "$(dirname "$1")" && pwd -P)/$(basename "$1")
head -n 3 "$script" | grep --quiet --fixed-strings -e "$there/bin/" -e "$(cd "$1" && pwd -P)/bin/"
