#!/usr/bin/env bash
# make bench: timings that a document may quote, as medians of many runs.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=target/release
# median SECONDS-OF-N-STARTS, in milliseconds
starts() {
  local i t0 t1
  for i in $(seq 101); do
    t0=$(date +%s%N); "$@" >/dev/null; t1=$(date +%s%N)
    echo $(((t1 - t0) / 1000))
  done | sort -n | awk '{v[NR] = $1} END {printf "median %.2f ms, p90 %.2f ms (%d starts)\n", v[int((NR+1)/2)] / 1000, v[int(NR*0.9)] / 1000, NR}'
}
echo "gtn-run --version: $(starts $bin/gtn-run --version)"
echo "gtn-export --version: $(starts $bin/gtn-export --version)"
for bundle in runs/demo/*.gtn; do
  [ -d "$bundle" ] || continue
  echo "gtn-run verify $bundle: $(starts $bin/gtn-run verify "$bundle")"
done
for threads in 1 2; do
  echo "latency prediction, $threads thread(s):"
  cargo run --release --locked -q -p gtn-tests --example prediction -- --threads $threads
done
echo "running: against Python's ONNX Runtime, repeatability, compare, processes"
scripts/setup.sh --peers
for threads in 1 2; do cargo run --release --locked -q -p gtn-tests --example running -- peer peers --threads $threads; done
cargo run --release --locked -q -p gtn-tests --example running -- repeat same slower process
echo "MobileNetV2 224 x 224, and the time of an export:"
cargo run --release --locked -q -p gtn-tests --example mobilenet_v2
cargo run --release --locked -q -p gtn-tests --example random_students
echo "Backend wgpu: kernels, networks of others, random students"
for example in wgpu_kernels wgpu_precisions third_party_nets wgpu_students; do
  [ $example != third_party_nets ] || scripts/third-party-nets.sh
  cargo run --release --locked -q -p gtn-tests --example $example
done
echo "Backend wgpu: beside other GPU runtimes"
scripts/wgpu-peers.sh
# With FASHION=DIR and CIFAR10=DIR (trains two students first: minutes).
scripts/int8-peer.sh
echo "Photographs: beside PIL, beside torchvision (TORCH_PYTHON), beside training; kill -9"
scripts/pictures-peer.sh
scripts/feeding-peer.sh
scripts/feeding-ratio.sh
cargo run --release --locked -q -p gtn-tests --example photo_kills
