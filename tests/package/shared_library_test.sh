#!/usr/bin/env bash
# shared_library_test.sh LIBRARY MAP: what libstillframe.so promises to the process it is loaded into.
set -euo pipefail
library=$1 map=$2
failed=0
complain() { echo "libstillframe.so: $*" >&2; failed=1; }

dynamic=$(readelf -dW "$library")
version=$(sed -n 's/^\([A-Z_0-9]*\) {$/\1/p' "$map")
wanted=$(sed -n '/global:/,/local:/s/^ *\([a-z_0-9]*\);$/\1@@'"$version"'/p' "$map" | sort)
exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }' | sort)
[ "$wanted" = "$exported" ] || complain "exports" $exported "instead of" $wanted

grep -q 'SONAME.*\[libstillframe.so.0\]' <<<"$dynamic" || complain "wrong soname"
grep -q 'FLAGS_1.*NODELETE' <<<"$dynamic" || complain "can be unloaded"
grep -q 'TEXTREL' <<<"$dynamic" && complain "has text relocations"
grep -qE 'RPATH|RUNPATH' <<<"$dynamic" && complain "has a run path"
needed=$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' <<<"$dynamic" |
  grep -vxE 'libc\.so\.6|libm\.so\.6|ld-linux-x86-64\.so\.2' || true)
[ -z "$needed" ] || complain "needs" $needed

headers=$(readelf -lW "$library")
grep -q 'GNU_STACK .* RW  ' <<<"$headers" || complain "asks for an executable stack"
grep -q ' RWE ' <<<"$headers" && complain "has a writable and executable segment"
grep -q 'GNU_RELRO' <<<"$headers" || complain "has no read-only relocations"

# Each one that is not packed costs time in every process that starts, used or not: Capstone's other
# architectures alone would be 78,000.
relocations=$(readelf -rW "$library" | grep -c ' R_X86_64_' || true)
[ "$relocations" -le 400 ] || complain "$relocations relocations that are not packed (at most 400)"
packed=$(sed -n 's/.*(RELRSZ) *\([0-9]*\).*/\1/p' <<<"$dynamic")
[ "${packed:-99999}" -le 12000 ] || complain "${packed:-no} bytes of packed relocations"
# Initial-exec thread-local storage comes out of the loader's small reserve (glibc: 1,664 bytes).
tls=$((16#$(sed -n 's/^ *TLS *0x[0-9a-f]* 0x[0-9a-f]* 0x[0-9a-f]* 0x[0-9a-f]* 0x\([0-9a-f]*\).*/\1/p' <<<"$headers")))
[ "$tls" -le 1440 ] || complain "$tls bytes of static thread-local storage (at most 1440)"
echo "$relocations relocations, $packed bytes packed, $tls bytes of TLS"
exit $failed
