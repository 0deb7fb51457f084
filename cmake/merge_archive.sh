#!/bin/sh
# merge_archive.sh OUTPUT.a SCRIPT.ld EXPORTS.map INPUT...: links the inputs into one relocatable
# object in which every symbol is local but the exported ones, and makes it the archive's only
# member. So nothing of ours, of libcurl, OpenSSL, zlib, Capstone or the C++ library can collide
# with a symbol of the program that links the archive, or bind to the program's own copies.
# Environment: LD, NM, OBJCOPY, AR.
set -eu
output=$1 script=$2 map=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed -n '/global:/,/local:/s/^ *\([a-z_0-9]*\);$/\1/p' "$map" >"$work/exports"
# --force-group-allocation: a COMDAT group left in the object would be dropped in favour of the
# program's group of that name, and the local symbols in it would be lost. -d: common symbols
# become ordinary ones, since a common symbol cannot be local. The debug information (-S) stays in
# libstillframe.so: here it would be 50 MB that every program carries.
"$LD" -r -S -d --force-group-allocation --gc-sections --undefined=stillframe_version \
  --undefined=ARM_global_init -T "$script" -o "$work/all.o" "$@"
# objcopy makes global and weak symbols local but leaves GNU's unique ones alone: weaken these first.
"$NM" "$work/all.o" | awk '$2 == "u" { print $3 }' >"$work/unique"
"$OBJCOPY" --weaken-symbols="$work/unique" "$work/all.o"
# What was collected as garbage leaves undefined names behind: --strip-unneeded takes them along.
"$OBJCOPY" --strip-unneeded --keep-global-symbols="$work/exports" "$work/all.o" \
  "$work/stillframe.o"
rm -f "$output"
"$AR" rcsD "$output" "$work/stillframe.o"
