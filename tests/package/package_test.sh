#!/usr/bin/env bash
# package_test.sh BUILD SOURCE: installs the build into a fresh prefix and builds a separate project
# against it: by the CMake package and by pkg-config, with the shared library and with the archive.
# CC, CXX: the compilers.
set -euo pipefail
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"
"$source/tests/package/check_tree.sh" "$work/prefix" "$source" "$work/consumer"

LD_LIBRARY_PATH=$(dirname "$(find "$work/prefix" -name libstillframe.a)")
export LD_LIBRARY_PATH
# Off means off: no thread, no file.
for program in "$work"/consumer/*/consumer*; do
  strace -f -e trace=clone,clone3,openat -o "$work/trace" "$program" >/dev/null
  if grep -qE 'clone|proc/self' "$work/trace"; then
    echo "$program: the agent did something although it is not enabled:" >&2
    cat "$work/trace" >&2
    exit 1
  fi
done
