#!/usr/bin/env bash
# Every libdw and libelf function that the symbolizer calls must be in the list of stubs, or the
# agent would not link, and every stub must be used. With --write the list is made anew.
set -euo pipefail
archive=$1 list=$2
# libdw.h defines dwarf_whatform inline, which is a call all the same where nothing is optimized.
used=$({
  nm -u "$archive" 2>/dev/null | awk '{print $2}' | grep -E '^(dwarf|dwelf|dwfl|elf|gelf)[0-9]*_'
  echo dwarf_whatform
} | sort -u)
if [ "${3:-}" = --write ]; then
  {
    echo "// Every libdw and libelf function that src/symbolizer/ calls; the test core.dw_functions"
    echo "// compares it with the symbols that the room leaves undefined."
    sed 's/.*/STILLFRAME_DW(&)/' <<<"$used"
  } >"$list"
  exit 0
fi
diff <(sed -n 's/^STILLFRAME_DW(\(.*\))$/\1/p' "$list") <(echo "$used")
