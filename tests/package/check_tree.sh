#!/usr/bin/env bash
# check_tree.sh PREFIX SOURCE WORK: builds and runs the consumer project against the tree that is
# installed at PREFIX, in every way that it offers; leaves the programs in WORK/*/consumer*.
set -euo pipefail
prefix=$1 source=$2 work=$3
consumer=$source/tests/package/consumer
mkdir -p "$work/pkg-config"
CMAKE_BUILD_PARALLEL_LEVEL=2
export CMAKE_BUILD_PARALLEL_LEVEL

cmake -S "$consumer" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" >"$work/configure.log" ||
  { cat "$work/configure.log" >&2; exit 1; }
cmake --build "$work/cmake" >"$work/build.log" || { cat "$work/build.log" >&2; exit 1; }

library=$(dirname "$(find "$prefix" -name stillframe.pc)")
export PKG_CONFIG_PATH=$library
build() {  # build NAME PKG_CONFIG_ARGUMENTS...
  local flags
  flags=$(pkg-config --cflags --libs "${@:2}")
  # shellcheck disable=SC2086
  "${CXX:-c++}" -std=c++17 "$consumer/main.cc" -o "$work/pkg-config/$1" $flags
}
build consumer stillframe
build consumer_static --static stillframe-static
# Libraries named after it are still dropped when nothing needs them.
# shellcheck disable=SC2046
"${CXX:-c++}" -std=c++17 "$consumer/main.cc" -o "$work/after" -Wl,--as-needed \
  $(pkg-config --cflags --libs stillframe) -lz
if readelf -d "$work/after" | grep -q 'NEEDED.*libz'; then
  echo "the flags of stillframe.pc change how later libraries are linked" >&2
  exit 1
fi
readelf -d "$work/after" | grep -q 'NEEDED.*libstillframe.so.0'

version=$(pkg-config --modversion stillframe)
export LD_LIBRARY_PATH=${library%/pkgconfig}
for program in "$work"/cmake/consumer "$work"/cmake/consumer_static "$work"/pkg-config/*; do
  said=$("$program")
  case "$said" in
    "$version "*) ;;
    *) echo "$program says '$said', the package is version $version" >&2; exit 1 ;;
  esac
  case "$program" in
    *_static)
      if readelf -d "$program" | grep -q 'NEEDED.*stillframe'; then
        echo "$program was meant to have the agent linked in" >&2
        exit 1
      fi ;;
    *) readelf -d "$program" | grep -q 'NEEDED.*libstillframe.so.0' ;;
  esac
done
# The programs that came with it start.
"$prefix/bin/stillframe" --help >/dev/null
"$prefix/bin/stillframe-server" --help >/dev/null
