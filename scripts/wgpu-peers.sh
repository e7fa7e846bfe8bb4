#!/usr/bin/env bash
# Backend wgpu beside other GPU runtimes on this machine's adapter: burn-wgpu (15 minutes to build the first time, on two cores),
# ncnn with Vulkan, ONNX Runtime's WebGPU, PyTorch on CUDA. One that does not run has a row that says so. Arguments:
#   --seconds S --rounds R --model student|mobilenetv2|resnet18
#   --torch cuda|cpu   (cuda where PyTorch sees a GPU; TORCH_PYTHON is the Python that has it and numpy, .venv/bin/python unless set)
# VK_ICD_FILENAMES chooses another Vulkan driver for all of them but PyTorch.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --ort --gpu-peers
dir=$PWD/target/wgpu-peers
cargo build --release --locked -q -p gtn-tests --example wgpu_peers
target/release/examples/wgpu_peers models
# burn's form of a model is Rust, compiled in; once for each of its two shader compilers.
for shaders in wgsl spirv; do
  (cd tests/peers/burn && GTN_PEER_MODELS=$dir CARGO_TARGET_DIR=$dir/burn cargo build --release --locked -q --features $shaders &&
    cp "$dir/burn/release/gtn-peer-burn" "$dir/burn-$shaders") || {
    rm -f "$dir/burn-$shaders"
    echo "burn-wgpu, $shaders: not built" >&2
  }
done
# ncnn's form, and a PyTorch module.
pnnx=$(echo "$PWD"/.venv-gpu-peers/lib/python*/site-packages/pnnx/pnnx)
for model in student=1,1,28,28 mobilenetv2=1,3,224,224 resnet18=1,3,224,224; do
  name=${model%=*}
  [ "$dir/$name.ncnn.param" -nt "$dir/$name.onnx" ] ||
    (cd "$dir" && "$pnnx" $name.onnx "inputshape=[${model#*=}]" fp16=0 >$name.pnnx.log 2>&1) ||
    echo "pnnx $name: $(tail -1 "$dir/$name.pnnx.log")" >&2
done
torch=${TORCH_PYTHON:-.venv/bin/python}
if "$torch" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  # Which torch does not bring.
  [ -n "${TORCH_PYTHON:-}" ] || "$torch" -m pip install -q numpy==2.4.6
  set -- "$@" --torch cuda
else
  echo "PyTorch on CUDA: left out, $torch has no PyTorch that sees a GPU"
fi
exec target/release/examples/wgpu_peers "$@"
