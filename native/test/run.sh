#!/bin/sh
# Builds and runs the kernel's tests. --sanitize: fewer of them, with ASan and UBSan. --bench [rounds seconds]: the bench instead.
# CXX chooses the compiler; everything built lies in native/test/build (or $WZ_BUILD).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
kernel=$here/../kernel
build=${WZ_BUILD:-$here/build}
cxx=${CXX:-c++}
# What the numbers depend on: no contraction but the explicit one, and nothing of -ffast-math that changes values.
flags="-std=c++17 -O3 -g -Wall -Wextra -fno-math-errno -fno-trapping-math -ffp-contract=off ${CXXFLAGS:-}"
case $($cxx --version) in *clang*) ;; *) flags="$flags -Wno-maybe-uninitialized" ;; esac # gcc 12's own _mm512_max_ps
if [ "${1:-}" = --sanitize ]; then
  flags="$flags -O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
  build=$build/sanitize
fi
mkdir -p "$build"

object() { # source, further flags
  source=$1
  shift
  $cxx $flags -c "$source" -o "$build/$(basename "$source" .cpp).o" "$@"
}
library="-fno-exceptions -fno-rtti"
object "$kernel/kernel.cpp" $library
object "$kernel/kernel_baseline.cpp" $library
case $($cxx -dumpmachine) in
  x86_64*)
    object "$kernel/kernel_avx2.cpp" $library -mavx2 -mfma
    object "$kernel/kernel_avx512.cpp" $library -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma
    ;;
  *) rm -f "$build"/kernel_avx*.o ;;
esac
main=$here/test.cpp
[ "${1:-}" != --bench ] || main=$here/../bench/bench.cpp
object "$main"
$cxx $flags "$build"/kernel*.o "$build/$(basename "$main" .cpp).o" -o "$build/main"
[ "${1:-}" != --sanitize ] || set -- --sanitize --quick
[ $# = 0 ] || shift
"$build/main" "$@"
