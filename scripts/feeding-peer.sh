#!/usr/bin/env bash
# Decoding and augmenting beside torchvision, one thread each, in turn: JPEG files of 500 x 375 to normalised batches of 224 x 224 by
# RandomResizedCrop, mirror, and with or without colour jitter. Ours from the original files, and from the cache as training does.
#
#   scripts/feeding-peer.sh [ROUNDS [SECONDS]]      7 rounds, 3 s each way
#
# TORCH_PYTHON: a Python with torch and torchvision; without one torchvision is left out. The pictures are made by
# .venv-pictures (Pillow and numpy), or by PICTURES_PYTHON.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-7} seconds=${2:-3} size=224
if [ -z "${PICTURES_PYTHON:-}" ]; then
  scripts/setup.sh --pictures
  PICTURES_PYTHON=.venv-pictures/bin/python
fi
cargo build --release --locked -q -p gtn-core --features photos --example feeding
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$PICTURES_PYTHON" scripts/feeding-peer.py make "$work/pictures" 256
du -sb "$work/pictures" | awk '{printf "256 pictures of 500 x 375, %.0f kB each\n", $1 / 256e3}'
ours() { target/release/examples/feeding "imagefolder:$work/pictures" "$work/cache" $size "$@" --threads 1 --seconds "$seconds"; }
theirs() { "$TORCH_PYTHON" scripts/feeding-peer.py time "$work/pictures" $size "$seconds" "$@"; }
ours cache >/dev/null # makes the cache
for round in $(seq "$rounds"); do
  for jitter in "" --jitter; do
    note() { local way=$1 said; shift; said=$("$@" $jitter); printf '%s\t%s\t%s\n' "$way${jitter:+, jitter}" "$round" "$said" >>"$work/lines"; }
    [ -z "${TORCH_PYTHON:-}" ] || note "torchvision, PIL" theirs pil
    note "ours, from files" ours files
    [ -z "${TORCH_PYTHON:-}" ] || note "torchvision, tensors" theirs tensor
    note "ours, from the cache" ours cache
  done
done
[ -n "${TORCH_PYTHON:-}" ] || echo "torchvision: left out, TORCH_PYTHON names no Python"
"$PICTURES_PYTHON" scripts/feeding-peer.py table "$work/lines"
