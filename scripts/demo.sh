#!/usr/bin/env bash
# make demo: the main job on the embedded data (fashion-mnist-mini), about six minutes of training on
# two cores. Interrupted, it goes on where it was; finished, it only measures again.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
# For the test of this script: other programs, another folder, a few steps only.
bin=${BIN:-target/release} out=${OUT:-runs/demo} limit=${STEPS:+--set max_steps=$STEPS} data=fashion-mnist-mini
student=pool:res-mini:d111-k333-e111

step() { printf '\n=== %s\n' "$*"; }
# train DIR ARGS...: starts the run in DIR, or goes on with it
train() {
  local dir=$out/$1 resume=
  shift
  [ ! -e "$dir/config.toml" ] || resume=--resume
  "$bin/gtn-train" "$@" $limit --data $data --out "$dir" $resume
}
# ship WHO: exports for this machine, and proves that ONNX and trainer agree on all 2,000 test images
ship() {
  "$bin/gtn-export" --target host --precision fp32 "$out/$1" --out "$out/$1.gtn"
  "$bin/gtn-train" eval --data $data "$out/$1" --logits "$out/$1-logits.npy" >/dev/null
  "$bin/gtn-run" eval "$out/$1.gtn" --against "$out/$1-logits.npy" | grep '^parity'
}

step "1/4  a vanilla teacher"
train teacher teacher --teacher resnet14 --epochs 10
step "2/4  a student distilled from it (KD)"
train student-kd student --arch $student --kd kd --teacher $out/teacher --epochs 8
step "3/4  the same student without a teacher"
train student-plain student --arch $student --kd none --epochs 8
step "4/4  export for this machine, verify, measure"
for who in teacher student-kd student-plain; do ship $who; done
# And the student in the precision that is decided here: the first of the profile that keeps its accuracy, unless another
# is clearly faster.
"$bin/gtn-export" --target host $out/student-kd --out $out/student-kd-auto.gtn
"$bin/gtn-run" $out/teacher.gtn $out/student-kd.gtn $out/student-kd-auto.gtn $out/student-plain.gtn --html $out/report.html >$out/report.txt
# The end of the report: what all four share, their table, and the page's path.
awk '/^[0-9]+ reports/{table=""} {table=table $0 "\n"} END {printf "\n%s", table}' $out/report.txt
printf '\nWhat is on the pictures that the bundle carries, and on any of yours:\n  %s classify %s\n' "$bin/gtn-run" $out/student-kd-auto.gtn
