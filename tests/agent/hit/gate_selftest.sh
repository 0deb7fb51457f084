#!/bin/sh
# gate_selftest.sh GATE CXX: the gate must refuse each of these objects for its own reason, and must
# accept the harmless one. A gate that cannot fail guards nothing.
set -eu
gate=$1
cxx=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# compile NAME SOURCE
compile() {
  printf '%s\n' "$2" > "$work/$1.cc"
  "$cxx" -std=c++20 -O2 -fPIC -fno-exceptions -fcf-protection=none -c "$work/$1.cc" -o "$work/$1.o"
}
# refuses NAME REASON SOURCE
refuses() {
  compile "$1" "$3"
  if sh "$gate" "$work/$1.o" > "$work/out"; then
    echo "the gate let pass: $1"
    exit 1
  fi
  grep -q "$2" "$work/out" || { echo "wrong reason for $1:"; cat "$work/out"; exit 1; }
}

compile good 'extern "C" long good(long a) { return a + 1; }'
sh "$gate" "$work/good.o"
refuses call 'undefined symbols: malloc' \
  'extern "C" void* malloc(unsigned long); extern "C" void* f() { return malloc(1); }'
refuses copy 'undefined symbols: memcpy' \
  'extern "C" void f(char* a, const char* b, unsigned long n) { __builtin_memcpy(a, b, n); }'
refuses vector 'vector or x87 operands in: f' \
  'extern "C" double f(double a) { return a * 2; }'
refuses x87 'vector or x87 operands in: f' \
  'extern "C" void f(long double* a) { *a *= 2; }'
refuses constructor 'constructors' \
  'extern "C" long g(); static volatile long x; struct A { A() { x = 1; } }; A a;'
refuses tls 'dynamic thread-local storage' \
  'thread_local int x; extern "C" int* f() { return &x; }'
echo "the gate refuses what it should"
