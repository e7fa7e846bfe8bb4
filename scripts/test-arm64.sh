#!/usr/bin/env bash
# make test-arm64: does gtn-run for aarch64 answer as on this machine? Builds the dist archive, unpacks it into
# an empty arm64 root (Debian's libc and libstdc++, nothing else), and runs it under an emulator as a
# Cortex-A76 (Raspberry Pi 5: dotprod, fp16) and a Cortex-A72 (Pi 4: neither) on fp32 and int8 bundles of a
# small student. Only the answers count: an emulator's times mean nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
scripts/dist.sh $target
# shellcheck source=/dev/null
. scripts/arm64-tools.sh
work=$(mktemp -d dist.XXXXXX)
trap 'rm -rf "$work"' EXIT
cp -a "$arm64_root/." "$work/root"
tar -xzf dist/gtn-run-*-$target.tar.gz -C "$work/root" --strip-components=1 --one-top-level=app
device() { # CPU ARGS...
  local cpu=$1
  shift
  "$arm64_qemu" -cpu "$cpu" -L "$work/root" "$work/root/app/gtn-run" "$@"
}
passed=0 failed=0
note() { # WHAT STATUS: counts it, shows what was found
  if [ "$2" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "$1: FAILED" && cat "$work/log"; fi
  grep -E '^(parity|top-1)' "$work/log" | sed "s/^/$1: /" || true
}
# Trained a little, so that its answers have margins.
target/release/gtn-train student --data fashion-mnist-mini --arch pool:res-mini:d111-k333-e111 --kd none --set max_steps=60 \
  --out "$work/student" > /dev/null 2>&1
for profile in rpi5 rpi4; do
  for precision in fp32 int8; do
    bundle=$work/$profile-$precision.gtn
    target/release/gtn-export --target $profile --precision $precision --max-drop 100 --eval-set 200 "$work/student" --out "$bundle" > /dev/null
    target/release/gtn-run eval "$bundle" --threads 1 --logits "$work/x86.npy" > /dev/null
    cpu=cortex-a76
    [ $profile = rpi5 ] || cpu=cortex-a72
    status=0
    device $cpu verify "$bundle" --threads 1 > "$work/log" 2>&1 || status=$?
    note "$cpu $precision" $status
    status=0
    device $cpu eval "$bundle" --threads 1 --against "$work/x86.npy" > "$work/log" 2>&1 || status=$?
    if [ $precision = int8 ]; then
      # Sums are rounded to int8 in other places: the top class must agree on 99 % of the 200 images.
      differs=$(sed -n 's/.*x86.npy .*top class differs on \([0-9]*\) of 200 images.*/\1/p' "$work/log")
      [ -n "$differs" ] && [ "$differs" -le 2 ] && status=0 || status=1
    fi
    note "$cpu $precision" $status
  done
done
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
