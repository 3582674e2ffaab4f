#!/bin/sh
# Whether NEON gives the bits of this x86-64 machine's instruction sets: cross-compiled, run under emulation.
# Needs g++-aarch64-linux-gnu and qemu-user; says so and succeeds without them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
kernel=$here/../kernel
build=${WZ_BUILD:-$here/build}
cross=aarch64-linux-gnu-g++
for tool in $cross qemu-aarch64; do
  command -v $tool >/dev/null || { echo "skipped NEON: $tool is not installed"; exit 0; }
done
flags="-std=c++17 -O2 -fno-math-errno -fno-trapping-math -ffp-contract=off"
mkdir -p "$build"
$cross $flags -static "$here/bits.cpp" "$kernel/kernel.cpp" "$kernel/kernel_baseline.cpp" -o "$build/bits-neon"
native() { ${CXX:-c++} $flags -c "$1" -o "$build/bits-$2.o" $3; }
native "$here/bits.cpp" main ''
native "$kernel/kernel.cpp" kernel ''
native "$kernel/kernel_baseline.cpp" baseline ''
native "$kernel/kernel_avx2.cpp" avx2 '-mavx2 -mfma'
native "$kernel/kernel_avx512.cpp" avx512 '-mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma'
${CXX:-c++} "$build"/bits-*.o -o "$build/bits"
words() { cut -d ' ' -f 1-3 | sort -u; }
here_bits=$("$build/bits" | words)
neon_bits=$(qemu-aarch64 "$build/bits-neon" | words)
if [ "$here_bits" != "$neon_bits" ]; then
  printf 'NEON gives other bits\nhere:\n%s\nNEON:\n%s\n' "$here_bits" "$neon_bits"
  exit 1
fi
printf 'NEON gives equal bits:\n%s\n' "$neon_bits"
