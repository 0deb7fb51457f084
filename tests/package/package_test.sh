#!/usr/bin/env bash
# Installs the build into a fresh prefix and builds a separate project against it.
set -euo pipefail
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null
cmake -S "$source/tests/package/consumer" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/build" >/dev/null
for program in consumer consumer_static; do
  "$work/build/$program"
done
# Off means off: no thread, no file.
strace -f -e trace=clone,clone3,openat -o "$work/trace" "$work/build/consumer" >/dev/null
if grep -qE 'clone|proc/self' "$work/trace"; then
  echo "the agent did something although it is not enabled:" >&2
  cat "$work/trace" >&2
  exit 1
fi
lib=$(find "$work/prefix" -name libstillframe.so)
echo "exports:" && nm -D --defined-only "$lib" | awk '{print $3}' | sort | tee "$work/exports"
if grep -v '^stillframe_\|^STILLFRAME_' "$work/exports"; then
  echo "the library exports more than its API" >&2
  exit 1
fi
if readelf -d "$lib" | grep NEEDED | grep -E 'protobuf|curl|libdw|libstdc'; then
  echo "the library needs more than the C library at load time" >&2
  exit 1
fi
readelf -d "$lib" | grep -E 'SONAME|NEEDED'
if strings -a "$lib" | grep -q 'google::protobuf'; then
  echo "the library contains a protobuf runtime" >&2
  exit 1
fi
PKG_CONFIG_PATH="$(dirname "$lib")/pkgconfig" pkg-config --cflags --libs stillframe
