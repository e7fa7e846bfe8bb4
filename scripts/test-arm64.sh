#!/usr/bin/env bash
# make test-arm64: does gtn-run for aarch64 answer as on this machine? Builds both dist archives. The one with ONNX
# Runtime is unpacked into an arm64 root with Debian's libc and libstdc++ and nothing else, the static one into an
# empty folder; they run under an emulator as a Cortex-A76 (Raspberry Pi 5: dotprod, fp16) and a Cortex-A72 (Pi 4:
# neither) on fp32 and int8 bundles of a small student. Only the answers count: an emulator's times mean nothing.
#
#   scripts/test-arm64.sh [BIN]     BIN: where gtn-train, gtn-export and gtn-run of this machine are
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:-target/release}
libcs="gnu musl" skipped=0
if ! scripts/rust-target.sh aarch64-unknown-linux-musl; then
  echo "test-arm64: the static program is not tried: rustup cannot fetch aarch64-unknown-linux-musl here" >&2
  libcs=gnu skipped=8
fi
for libc in $libcs; do scripts/dist.sh aarch64-unknown-linux-$libc; done
# shellcheck source=/dev/null
. scripts/arm64-tools.sh
work=$(mktemp -d dist.XXXXXX)
trap 'rm -rf "$work"' EXIT
cp -a "$arm64_root/." "$work/gnu"
for libc in $libcs; do
  mkdir -p "$work/$libc"
  tar -xzf dist/gtn-run-*-aarch64-unknown-linux-$libc.tar.gz -C "$work/$libc" --strip-components=1 --one-top-level=app
done
device() { # LIBC CPU ARGS...
  local libc=$1 cpu=$2
  shift 2
  "$arm64_qemu" -cpu "$cpu" -L "$work/$libc" "$work/$libc/app/gtn-run" "$@"
}
passed=0 failed=0
note() { # WHAT STATUS LINES: counts it, shows these lines of what it said
  if [ "$2" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "$1: FAILED" && cat "$work/log"; fi
  sed -nE "s/^($3)/$1: \\1/p" "$work/log"
}
# Trained a little, so that its answers have margins.
$bin/gtn-train student --data fashion-mnist-mini --arch pool:res-mini:d111-k333-e111 --kd none --set max_steps=60 \
  --out "$work/student" > /dev/null 2>&1
for profile in rpi5 rpi4; do
  for precision in fp32 int8; do
    bundle=$work/$profile-$precision.gtn
    $bin/gtn-export --target $profile --precision $precision --max-drop 100 --eval-set 200 --samples made "$work/student" --out "$bundle" > /dev/null
    $bin/gtn-run eval "$bundle" --threads 1 --logits "$work/x86.npy" > /dev/null
    cpu=cortex-a76
    [ $profile = rpi5 ] || cpu=cortex-a72
    for libc in $libcs; do
      what="$libc $cpu $precision"
      status=0
      device $libc $cpu verify "$bundle" --threads 1 > "$work/log" 2>&1 || status=$?
      note "$what" $status 'backend|parity'
      status=0
      device $libc $cpu eval "$bundle" --threads 1 --against "$work/x86.npy" > "$work/log" 2>&1 || status=$?
      if [ $precision = int8 ]; then
        # Sums are rounded to int8 in other places: the top class must agree on 99 % of the 200 images.
        differs=$(sed -n 's/.*x86.npy .*top class differs on \([0-9]*\) of 200 images.*/\1/p' "$work/log")
        echo "against x86: top class differs on ${differs:-?} of 200 images" >> "$work/log"
        [ -n "$differs" ] && [ "$differs" -le 2 ] && status=0 || status=1
        note "$what" $status 'against|top-1'
      else
        note "$what" $status 'parity|top-1'
      fi
    done
  done
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
