#!/usr/bin/env bash
# What PyTorch 2.11 writes by default (torch.onnx.export: the new exporter, weights in a file beside the model) through
# gtn-export check and gtn-run bench and profile, on every backend: timm's mobilenetv3_small_100 and torchvision's
# ResNet-18, with random weights. Each line ends with `ok`, or with the reason of a refusal; the status is 1 where a
# program did neither.
#
#   scripts/pytorch-exports.sh [BIN]     BIN: where gtn-export and gtn-run are (target/release)
#
# Downloads PyTorch with what its Python package needs (2.7 GB) into .venv-pytorch/, unless PYTORCH_PYTHON names a
# Python that has torch, torchvision, timm and onnxscript.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:-target/release}
python=${PYTORCH_PYTHON:-}
if [ -z "$python" ]; then
  [ -x .venv-pytorch/bin/python ] || python3 -m venv .venv-pytorch
  .venv-pytorch/bin/python -m pip install -q torch==2.11.0 torchvision==0.26.0 timm==1.0.31 onnxscript==0.7.2
  python=.venv-pytorch/bin/python
fi
dir=target/pytorch-exports
mkdir -p $dir
"$python" - $dir <<'PYTHON'
import sys, warnings, torch, timm, torchvision
warnings.filterwarnings("ignore")
torch.manual_seed(0)
nets = {
    "mobilenetv3_small_100": timm.create_model("mobilenetv3_small_100", pretrained=False),
    "resnet18": torchvision.models.resnet18(weights=None),
}
for name, net in nets.items():
    torch.onnx.export(net.eval(), (torch.randn(1, 3, 224, 224),), f"{sys.argv[1]}/{name}.onnx", verbose=False)
PYTHON
wrong=0
try() { # WHAT COMMAND...: ok; or the one line of an error with status 1, 2 or 3
  local what=$1 status=0
  shift
  "$@" >"$dir/out" 2>"$dir/err" || status=$?
  if [ $status = 0 ]; then
    printf '%-46s ok\n' "$what"
  else
    printf '%-46s status %s: %s\n' "$what" $status "$(grep 'error: ' "$dir/err" | head -1)"
    [ $status -le 3 ] && grep -q 'error: ' "$dir/err" || wrong=1
  fi
}
for net in mobilenetv3_small_100 resnet18; do
  model=$dir/$net.onnx
  ls -l "$model"* | awk '{print $NF, $5, "bytes"}'
  try "$net check" "$bin/gtn-export" check "$model" --target host
  for backend in ort rust "wgpu --allow-software"; do
    # shellcheck disable=SC2086
    for command in "bench --seconds 0.5 --runs 5 --warmup 0.1 --warmup-runs 1" "profile --runs 5"; do
      try "$net ${command%% *} $backend" "$bin/gtn-run" ${command} "$model" --backend $backend
    done
  done
done
exit $wrong
