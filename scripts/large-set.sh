#!/usr/bin/env bash
# A set far larger than memory: 100,000 made pictures are cached at 256 x 256 pixels (20 GB) and a student of 29 MMACs
# at 224 x 224 is trained on them, with whatever memory there is and in a control group that may hold 4 GiB (its share of the
# system's page cache included), each from a cold cache. Prints the peak of private memory and the speed, and deletes everything.
#
#   scripts/large-set.sh [COUNT [STEPS [LIMIT_MIB]]]      100,000 pictures, 60 steps of 64 images, 4096 MiB
#
# Needs root for the control group, `make build`, and 25 GB where TMPDIR is. Pictures are made by .venv-pictures (Pillow and numpy), or
# by PICTURES_PYTHON.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:-100000} steps=${2:-60} limit=${3:-4096} size=224
student=pool:mbv2-photo-lite:d22222-k3333333333-e4444466666-s0000000000
if [ -z "${PICTURES_PYTHON:-}" ]; then
  scripts/setup.sh --pictures
  PICTURES_PYTHON=.venv-pictures/bin/python
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
free=$(df --output=avail -BM "$work" | tail -1 | tr -dc 0-9) needed=$((count * 240 / 1000 + 500))
[ "$free" -gt "$needed" ] || { echo "large-set: $work has $free MiB, wanted $needed" >&2; exit 1; }
export XDG_CACHE_HOME=$work/cache
set -- "$PICTURES_PYTHON" scripts/large-set.py
"$@" make "$work/pictures" "$count"
echo "$count pictures, $(du -sm "$work/pictures" | cut -f1) MiB of files"
data="imagefolder@$size:$work/pictures"
echo "cache, then looked through: $("$@" run 0 target/release/gtn-train data "$data" --json)"
echo "the cache: $(du -sm "$work/cache" | cut -f1) MiB"
for round in 1 2; do
  for most in 0 "$limit"; do
    "$@" forget "$work"/cache/gtn/photos/*/pixels.u8
    rm -rf "$work/run"
    said=$("$@" run "$most" target/release/gtn-train student --data "$data" --arch $student --kd none --recipe photos --batch-size 64 \
      --set "max_steps=$steps" --set val_fraction=0.001 --out "$work/run" 2>"$work/log") || { tail -3 "$work/log" >&2; exit 1; }
    rate=$("$PICTURES_PYTHON" -c 'import json, sys; print(round(json.loads(open(sys.argv[1]).read().splitlines()[-1])["images_per_s"], 1))' "$work/run/log.jsonl")
    echo "round $round, limit $most MiB: $rate img/s, $said"
  done
done
