#!/usr/bin/env bash
# Our int8 beside Python's onnxruntime.quantization on depthwise students of Fashion-MNIST and CIFAR-10.
#
#   FASHION=DIR CIFAR10=DIR scripts/int8-peer.sh      folders as --data takes them; one left out is skipped
#
# Trains the students first (runs/int8-peer; minutes each), unless they are there. Needs `make build` and
# `scripts/setup.sh --oracles`.
set -euo pipefail
cd "$(dirname "$0")/.."
student=pool:mbv2-mini:d222-k333333-e333333
one() { # NAME DATA RECIPE...
  local out=runs/int8-peer/$1 data=$2
  shift 2
  [ -f "$out/train.json" ] || target/release/gtn-train student --data "$data" --arch $student --kd none "$@" --threads 1 --out "$out"
  for threads in 1 2; do
    cargo run --release --locked -q -p gtn-tests --example int8_peer -- "$out" "$data" --threads $threads
  done
}
[ -z "${FASHION:-}" ] || one fashion-mnist "fashion-mnist:$FASHION" --epochs 2 --set train_images=30000
[ -z "${CIFAR10:-}" ] || one cifar10 "cifar10:$CIFAR10" --epochs 2
