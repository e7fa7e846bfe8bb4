#!/usr/bin/env bash
# Does noise choose? N exports of one student with --precision auto while the machine is busy, the choices counted;
# then what gtn-run compare says of int8 and fp32. Where that finds int8 at least 5 % faster (slower), every export must
# have taken (left) it; where it cannot tell, every export must be the profile's first, int8, or what was clear then.
#   scripts/auto-choice.sh STUDENT_DIR [N] [BUSY]      20 exports, BUSY loops beside them (half of the cores)
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
student=$1 n=${2:-20} busy=${3:-$(($(nproc) / 2))} bin=${BIN:-target/release}
out=$(mktemp -d)
loops=()
trap 'kill "${loops[@]}" 2>/dev/null || true; rm -rf "$out"' EXIT
for _ in $(seq "$busy"); do
  while :; do :; done &
  loops+=($!)
done
quick=${QUICK:---calib-images 64 --calibration minmax --equalise off --bias-correction off --keep-fp32 none --max-drop 100 --eval-set 50}
for i in $(seq "$n"); do
  # shellcheck disable=SC2086 # flags are words
  "$bin/gtn-export" --target host $quick "$student" --out "$out/auto.gtn" 2>/dev/null | grep -E '^(int8|fp32): (measured|the )' | sed "s/^/$i  /" | tee -a "$out/choices"
done
echo
# shellcheck disable=SC2086
for precision in fp32 int8; do
  "$bin/gtn-export" --target host --precision $precision $quick "$student" --out "$out/$precision.gtn" >/dev/null 2>&1
done
"$bin/gtn-run" compare "$out/fp32.gtn" "$out/int8.gtn" --rounds 40 --seconds 12 --json "$out/compare.json" 2>/dev/null | grep -E '^(B is|cannot)'
python3 - "$out" "$n" <<'EOF'
import json, sys
out, n = sys.argv[1], int(sys.argv[2])
choices = [line.split()[1].rstrip(":") for line in open(f"{out}/choices")]
result = json.load(open(f"{out}/compare.json"))["result"]
count = {p: choices.count(p) for p in ("int8", "fp32")}
clear = result["verdict"] != "cannot_tell" and abs(result["ratio"] - 1) >= 0.05
wanted = "fp32" if result["ratio"] > 1 else "int8"
print(f"{len(choices)} exports: int8 {count['int8']}, fp32 {count['fp32']}; compare: int8 takes {result['ratio']:.3f} of fp32's time, {result['verdict']}")
ok = len(choices) == n and (not clear or count[wanted] == n)
print("as compare has it" if clear and ok else "no clear difference of 5 %" if ok else f"NOT as compare has it: wanted {wanted} {n} times")
sys.exit(not ok)
EOF
