#!/bin/sh
# gate.sh OBJECT_OR_ARCHIVE...: fails when hit-path code could do what a hit must not. Links the
# objects alone into one relocatable object and looks at it:
#  - undefined symbols: only the linker's own table is allowed, so no call leaves the folder;
#  - vector, mask and x87 operands: none but in the leaf functions that save what they use;
#  - constructors and destructors: none; dynamic thread-local storage: none.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ld -r -o "$work/hit.o" --whole-archive "$@"
failed=0

undefined=$(nm -u "$work/hit.o" | awk '{print $NF}' | grep -vx '_GLOBAL_OFFSET_TABLE_' || true)
if [ -n "$undefined" ]; then
  echo "undefined symbols:" $undefined
  failed=1
fi
if nm "$work/hit.o" | grep -q '__tls_get_addr\|__cxa_\|__stack_chk_fail\|__asan_\|__tsan_\|__ubsan_'; then
  echo "runtime support symbols:" \
    "$(nm "$work/hit.o" | grep -o '__tls_get_addr\|__cxa_[a-z_]*\|__stack_chk_fail\|__[atu]b*san_[a-z_0-9]*' | sort -u | tr '\n' ' ')"
  failed=1
fi
# The descriptor and module models reach thread-local storage by a call.
if readelf -rW "$work/hit.o" | grep -q 'R_X86_64_TLSGD\|R_X86_64_TLSLD\|R_X86_64_GOTPC32_TLSDESC'; then
  echo "dynamic thread-local storage"
  failed=1
fi
if readelf -SW "$work/hit.o" | grep -q '\.init_array\|\.fini_array\|\.ctors\|\.dtors'; then
  echo "constructors or destructors"
  failed=1
fi
vectors=$(objdump -d --no-show-raw-insn "$work/hit.o" | awk '
  /^[0-9a-f]+ <.*>:$/ { name = $2; gsub(/[<>:]/, "", name) }
  /%[xyz]mm[0-9]|%mm[0-7]|%k[0-7]|%st|[ \t](fld|fst|fild|fist|fadd|fmul|fxsave|xsave|emms)/ {
    if (name !~ /^stillframe_(save_xmm|save_arguments|save_x87|[fsu](32|64)_(add|sub|mul|div|to_f32|to_f64))$/) print name
  }' | sort -u)
if [ -n "$vectors" ]; then
  echo "vector or x87 operands in:" $vectors
  failed=1
fi
exit $failed
