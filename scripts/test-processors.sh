#!/usr/bin/env bash
# The tests of tests/processor-tests.txt that run on another processor than this one: emulated x86 without VNNI
# (Haswell: AVX2, where ONNX Runtime's int8 sums saturate unless computed exactly). Says which kind this machine is, on
# which `make test` runs them all. An emulator's times mean nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -m)" != x86_64 ]; then
  echo "test-processors: only on x86_64: this is $(uname -m)"
  exit 0
fi
kind="x86 without VNNI"
! grep -qwE 'avx512_vnni|avx_vnni' /proc/cpuinfo || kind="x86 with VNNI"
echo "this machine: $kind"
# shellcheck source=/dev/null
. scripts/arm64-tools.sh
qemu=${arm64_qemu%aarch64}x86_64
passed=0 failed=0
while read -r test; do
  # The whole workspace's features: what make test has built.
  binary=$(cargo test --workspace --locked --test "$test" --no-run --message-format=json 2>/dev/null |
    sed -n "s/.*\"name\":\"$test\".*\"executable\":\"\([^\"]*\)\".*/\1/p" | tail -1)
  if [ -n "$binary" ] && "$qemu" -cpu Haswell "$binary" --test-threads 2 2>&1 | grep -v "TCG doesn't support"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
  fi
done < <(awk '/x86 without VNNI \(test-processors.sh\)/ { print $2 }' tests/processor-tests.txt)
echo "emulated x86 without VNNI: $passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
