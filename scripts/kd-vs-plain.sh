#!/usr/bin/env bash
# KD student against plain student over seeds, with the demo's teacher, student and recipe:
#   scripts/kd-vs-plain.sh [SEEDS]      (default: 3, about four minutes of training each on two cores)
# Seed 0 is the demo's own pair. One teacher: the interval covers the students' seeds, not the teacher's.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
seeds=${1:-3} bin=target/release demo=runs/demo out=runs/kd-vs-plain
teacher=$demo/teacher
student=pool:res-mini:d111-k333-e111
for who in teacher student-kd student-plain; do
  [ -e $demo/$who/train.json ] || { echo "run make demo first: $demo/$who is missing" >&2; exit 2; }
done
top1() { sed -n '/"test"/,/}/s/.*"top1": \([0-9.]*\).*/\1/p' "$1/train.json"; }
pairs() {
  echo "0 $(top1 $demo/student-kd) $(top1 $demo/student-plain)"
  for ((seed = 1; seed < seeds; seed++)); do
    for kd in kd none; do
      dir=$out/$kd-$seed resume=
      [ ! -e $dir/config.toml ] || resume=--resume
      taught=
      [ $kd = none ] || taught="--teacher $teacher"
      "$bin/gtn-train" student --data fashion-mnist-mini --arch $student --kd $kd $taught --seed $seed --epochs 8 \
        --out $dir $resume >/dev/null
    done
    echo "$seed $(top1 $out/kd-$seed) $(top1 $out/none-$seed)"
  done
}
pairs | awk '
  # Two-sided 95 % quantiles of Student t for n - 1 degrees of freedom.
  BEGIN { split("12.706 4.303 3.182 2.776 2.571 2.447 2.365 2.306 2.262", t); print "seed   KD top-1   plain top-1   difference" }
  { d = 100 * ($2 - $3); n++; s += d; q += d * d; k += 100 * $2; p += 100 * $3
    printf "%4d   %7.2f %%     %7.2f %%   %+8.2f\n", $1, 100 * $2, 100 * $3, d; fflush() }
  END { m = s / n; if (n > 1) h = t[n - 1] * sqrt((q - n * m * m) / (n - 1) / n)
        printf "mean   %7.2f %%     %7.2f %%   %+8.2f, 95 %% CI %+.2f to %+.2f (t, paired, %d seeds)\n", k / n, p / n, m, m - h, m + h, n }'
