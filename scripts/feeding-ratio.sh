#!/usr/bin/env bash
# Does the data path keep up with training? Images that it makes ready by itself (from the cache, recipe `photos`) over those that a
# student of about 30 MMACs learns from by itself (pictures held in memory, only mirrored), in turn: one thread each, by CPU seconds,
# which other work on the machine hardly disturbs. More threads serve loading at least as well as training, so that the ratio on all
# cores is no smaller. Beside it by the clock: loading on all cores, and training with recipe `photos`, which does both.
#
#   scripts/feeding-ratio.sh [ROUNDS [SECONDS [STEPS]]]      3 rounds, loading for 5 s, training for 20 steps of 64
#
# Needs `make build`; pictures are made by .venv-pictures (Pillow and numpy), or by PICTURES_PYTHON.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3} seconds=${2:-5} steps=${3:-20}
if [ -z "${PICTURES_PYTHON:-}" ]; then
  scripts/setup.sh --pictures
  PICTURES_PYTHON=.venv-pictures/bin/python
fi
cargo build --release --locked -q -p gtn-core --features photos --example feeding
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache
"$PICTURES_PYTHON" scripts/feeding-peer.py make "$work/pictures" 400
train() { # SIZE STUDENT THREADS ARGUMENT...
  local size=$1 student=$2 threads=$3
  shift 3
  "$PICTURES_PYTHON" scripts/feeding-peer.py train "$work/run" "$steps" target/release/gtn-train student --kd none --batch-size 64 \
    --data "imagefolder@$size:$work/pictures" --arch "pool:$student" --set val_fraction=0.01 --threads "$threads" "$@"
}
for pair in 96=mbv2-photo:d22222-k5555555555-e6666666666-s0000000000 160=mbv2-photo:d11111-k33333-e44444-s00000 \
  224=mbv2-photo-lite:d22222-k3333333333-e4444466666-s0000000000; do
  size=${pair%%=*} student=${pair#*=}
  macs=$(target/release/gtn-train pool show "$student" --input "3x${size}x$size" | awk 'END {print $4 " " $5}')
  for round in $(seq "$rounds"); do
    set -- "imagefolder:$work/pictures" "$work/cache/gtn/photos" "$size" cache --jitter --seconds "$seconds"
    loaded=$(target/release/examples/feeding "$@" --threads 1)
    alone=$(train "$size" "$student" 1 --set augment.pad=0)
    all=$(target/release/examples/feeding "$@")
    both=$(train "$size" "$student" "$(nproc)" --recipe photos)
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$size" "$student" "$macs" "$loaded" "$alone" "$all" "$both" >>"$work/lines"
  done
done
"$PICTURES_PYTHON" - "$work/lines" <<'PY'
import collections, json, statistics, sys
found = collections.defaultdict(list)
for line in open(sys.argv[1]):
    size, student, macs, *said = line.rstrip("\n").split("\t")
    loaded, alone, every, both = map(json.loads, said)
    cpu = lambda s: s["images"] / s["cpu"]
    found[size, student, macs].append((cpu(loaded), cpu(alone), cpu(loaded) / cpu(alone), every["images"] / every["wall"], both["rate"]))
show = lambda values, form: f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"
print("| pixels | student | MACs | loading, images a CPU second | training, images a CPU second | ratio | loading on all cores, img/s | both: recipe `photos`, img/s |")
print("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
for (size, student, macs), rounds in found.items():
    load, alone, ratio, every, both = zip(*rounds)
    print(f"| {size} | {student} | {macs} | {show(load, '.0f')} | {show(alone, '.0f')} | {show(ratio, '.2f')} | {show(every, '.0f')} | {show(both, '.0f')} |")
PY
