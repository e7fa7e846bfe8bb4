#!/usr/bin/env bash
# Fetches what cargo cannot: libtorch (for gtn-train) and ONNX Runtime's shared library (for
# gtn-run and gtn-export). Idempotent: what is there is checked, not fetched again; an
# interrupted download leaves nothing half-made. Needs no root, --vulkan aside.
#
#   scripts/setup.sh [--ort] [--torch] [--cuda] [--oracles] [--peers] [--gpu-peers] [--pictures] [--vulkan] [--sshd]    no part named: --ort --torch
#
#   --torch     the small libtorch set (CPU runs of the CUDA build), or TORCH_DIR=<torch> to use
#               an existing torch 2.11 (the folder that holds include/ and lib/)
#   --cuda      with --torch: the full set, so that `gtn-train --device cuda` works
#   --oracles   numpy, onnx and onnxruntime for Python: test-time oracles only
#   --peers     with the oracles: tract and OpenVINO for Python, which benchmarks compare with
#   --gpu-peers ncnn, pnnx and ONNX Runtime with WebGPU for Python, in a venv of their own: scripts/wgpu-peers.sh
#   --pictures  Pillow and numpy for Python, in a venv of their own: scripts/pictures-peer.sh, scripts/feeding-peer.sh
#   --vulkan    a Vulkan adapter for the tests of backend wgpu: what the system has, else lavapipe, which needs
#               no GPU, from Debian's or Ubuntu's packages
#   --sshd      an sshd for the tests of `gtn-run --on`: what the system has, else unpacked from Debian's or Ubuntu's
#               package into .sshd/ (not installed, and run by the tests alone)
set -euo pipefail
cd "$(dirname "$0")/.."

TORCH_VERSION=2.11.0
ORT_VERSION=1.32.0
PYTHON=${PYTHON:-python3}
say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
# Folders of downloads, which go however this ends.
temporary=()
trap 'rm -rf ${temporary[@]+"${temporary[@]}"}' EXIT

ort= torch= cuda= oracles= peers= gpu_peers= pictures= vulkan= sshd=
for arg in "$@"; do
  case $arg in
    --ort) ort=1 ;; --torch) torch=1 ;; --cuda) cuda=1 torch=1 ;; --oracles) oracles=1 ;;
    --peers) oracles=1 peers=1 ;; --gpu-peers) gpu_peers=1 ;; --pictures) pictures=1 ;; --vulkan) vulkan=1 ;; --sshd) sshd=1 ;;
    *) die "unknown option $arg (known: --ort --torch --cuda --oracles --peers --gpu-peers --pictures --vulkan --sshd)" ;;
  esac
done
[ -n "$ort$torch$oracles$gpu_peers$pictures$vulkan$sshd" ] || { ort=1; torch=1; }

# venv DIR: makes it unless it is there and works
venv() {
  [ -x "$1/bin/python" ] && "$1/bin/python" -c 'import pip' 2>/dev/null && return
  command -v "$PYTHON" >/dev/null || die "$PYTHON not found: install Python 3.9 or newer (used at set-up only)"
  say "creating $1"
  rm -rf "$1"
  "$PYTHON" -m venv "$1" || die "$PYTHON -m venv failed: on Debian and Ubuntu install python3-venv"
}

# has DIR NAME VERSION: whether that venv holds exactly that distribution
has() {
  "$1/bin/python" - "$2" "$3" 2>/dev/null <<'PY'
import sys
from importlib.metadata import version
sys.exit(version(sys.argv[1]).split("+")[0] != sys.argv[2])
PY
}

setup_torch() {
  local dir=${TORCH_DIR:-} cuda_tag
  if [ -n "$dir" ]; then
    [ -d "$dir/include" ] && [ -e "$dir/lib/libtorch_cpu.so" ] || die "TORCH_DIR=$dir has no include/ and lib/libtorch_cpu.so"
    say "libtorch: using $dir"
  else
    [ "$(uname -s)" = Linux ] || die "set TORCH_DIR to a torch $TORCH_VERSION on this system ($(uname -s))"
    venv .venv
    if ! has .venv torch $TORCH_VERSION; then
      if [ -n "$cuda" ]; then
        say "downloading torch $TORCH_VERSION with its CUDA libraries: about 2.7 GB"
        .venv/bin/pip install -q "torch==$TORCH_VERSION"
      else
        say "downloading torch $TORCH_VERSION and two small CUDA runtime libraries it links to: 544 MB"
        .venv/bin/pip install -q --no-deps "torch==$TORCH_VERSION" nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85
      fi
    elif [ -n "$cuda" ] && ! .venv/bin/python -c 'import torch' 2>/dev/null; then
      say "downloading torch's CUDA libraries: about 2.2 GB"
      .venv/bin/pip install -q "torch==$TORCH_VERSION"
    fi
    dir=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/torch
  fi
  dir=$(cd "$dir" && pwd)
  cuda_tag=$(sed -n "s/^__version__ = '\(.*\)'.*/\1/p" "$dir/version.py" 2>/dev/null || true)
  [ -n "$cuda_tag" ] || cuda_tag=$(cat "$dir/build-version" 2>/dev/null || true)
  case $cuda_tag in
    "$TORCH_VERSION"*) ;;
    *) die "$dir holds torch '${cuda_tag:-unknown}', wanted $TORCH_VERSION (the version our tch crate is made for)" ;;
  esac
  # The link view: only what gtn-train links to (not libtorch_cuda, which is opened at run time).
  local view=.libtorch.new
  rm -rf $view
  mkdir -p $view/lib
  ln -s "$dir/include" $view/include
  ln -s "$dir/lib" $view/rt
  ln -s "$dir/lib/libtorch_cpu.so" $view/lib/libtorch_cpu.so
  ln -s "$dir/lib/libtorch_cpu.so" $view/lib/libtorch.so
  ln -s "$dir/lib/libc10.so" $view/lib/libc10.so
  printf '%s\n' "$cuda_tag" > $view/build-version
  if [ -d .libtorch ] && diff -q .libtorch/build-version $view/build-version >/dev/null 2>&1 \
     && [ "$(readlink .libtorch/rt)" = "$dir/lib" ]; then
    rm -rf $view          # unchanged: keep its timestamps, so that cargo does not rebuild
  else
    rm -rf .libtorch && mv $view .libtorch
  fi
  say "libtorch: $cuda_tag ready (.libtorch)"
}

setup_ort() {
  local name tmp
  case $(uname -s) in
    Linux) name=libonnxruntime.so.$ORT_VERSION ;;
    Darwin) name=libonnxruntime.$ORT_VERSION.dylib ;;
    *) die "on $(uname -s) put ONNX Runtime $ORT_VERSION's library in lib/ by hand" ;;
  esac
  if [ -s "lib/$name" ]; then say "ONNX Runtime: lib/$name ready"; return; fi
  venv .venv
  say "downloading ONNX Runtime $ORT_VERSION: about 20 MB"
  tmp=$(mktemp -d .ort-download.XXXXXX)
  temporary+=("$tmp")
  .venv/bin/pip download -q --no-deps --only-binary=:all: -d "$tmp" "onnxruntime==$ORT_VERSION"
  .venv/bin/python - "$tmp" "$name" <<'PY'
import glob, os, shutil, sys, zipfile
tmp, name = sys.argv[1:]
wheel, = glob.glob(os.path.join(tmp, "*.whl"))
with zipfile.ZipFile(wheel) as z:
    for source, target in ((f"onnxruntime/capi/{name}", name), ("onnxruntime/LICENSE", "LICENSE.onnxruntime"),
                           ("onnxruntime/ThirdPartyNotices.txt", "ThirdPartyNotices.onnxruntime.txt")):
        with z.open(source) as src, open(os.path.join(tmp, target), "wb") as dst:
            shutil.copyfileobj(src, dst)
PY
  mkdir -p lib
  mv "$tmp/LICENSE.onnxruntime" "$tmp/ThirdPartyNotices.onnxruntime.txt" lib/
  mv "$tmp/$name" "lib/$name"
  say "ONNX Runtime: lib/$name ready"
}

# In a venv of their own: the small torch set lacks its dependencies, of which pip complains at every
# later installation beside it.
setup_oracles() {
  local dir=.venv-oracles
  venv $dir
  if has $dir onnx 1.22.0 && has $dir onnxruntime $ORT_VERSION && has $dir numpy 2.4.6; then
    say "test oracles: $dir ready"
    return
  fi
  say "downloading the test oracles (numpy, onnx, onnxruntime for Python): about 60 MB"
  $dir/bin/pip install -q numpy==2.4.6 onnx==1.22.0 "onnxruntime==$ORT_VERSION"
  say "test oracles: $dir ready"
}

setup_peers() {
  local dir=.venv-oracles
  has $dir tract 0.23.9 && has $dir openvino 2026.4.1 && return
  say "downloading tract and OpenVINO for Python: about 75 MB"
  $dir/bin/pip install -q tract==0.23.9 openvino==2026.4.1
}

# Apart from the oracles: onnxruntime-webgpu is the same Python package as onnxruntime. pnnx would bring PyTorch, which
# its program does not need.
setup_gpu_peers() {
  local dir=.venv-gpu-peers
  venv $dir
  has $dir onnxruntime-webgpu 1.27.0 && has $dir ncnn 1.0.20261020 && has $dir pnnx 20261020 && has $dir numpy 2.4.6 && return
  say "downloading ncnn, pnnx and ONNX Runtime with WebGPU for Python: about 65 MB"
  $dir/bin/pip install -q numpy==2.4.6 onnxruntime-webgpu==1.27.0
  $dir/bin/pip install -q --no-deps ncnn==1.0.20261020 pnnx==20261020
}

setup_pictures() {
  local dir=.venv-pictures
  venv $dir
  has $dir pillow 13.0.0 && has $dir numpy 2.4.6 && return
  say "downloading Pillow and numpy for Python: about 25 MB"
  $dir/bin/pip install -q pillow==13.0.0 numpy==2.4.6
}

setup_vulkan() {
  local packages="libvulkan1 mesa-vulkan-drivers libegl1" as_root=
  has_vulkan() {
    { compgen -G '/usr/share/vulkan/icd.d/*.json' || compgen -G '/etc/vulkan/icd.d/*.json'; } >/dev/null &&
      compgen -G '/usr/lib*/**/libvulkan.so.1' >/dev/null
  }
  if [ "$(uname -s)" != Linux ] || has_vulkan; then say "Vulkan: the system's"; return; fi
  [ "$(id -u)" = 0 ] || as_root="sudo -n"
  command -v apt-get >/dev/null && $as_root true 2>/dev/null || die "no Vulkan driver: install one (Debian, Ubuntu: apt install $packages)"
  say "installing $packages: about 50 MB"
  $as_root apt-get update -q >/dev/null
  $as_root apt-get install -qy --no-install-recommends $packages >/dev/null
  has_vulkan || die "no Vulkan driver after installing $packages"
  say "Vulkan: ready"
}

setup_sshd() {
  local tmp
  command -v ssh >/dev/null && command -v ssh-keygen >/dev/null || die "ssh not found: install OpenSSH's client (Debian, Ubuntu: openssh-client)"
  if [ ! -x /usr/sbin/sshd ] && [ ! -x .sshd/usr/sbin/sshd ]; then
    command -v apt-get >/dev/null || die "no /usr/sbin/sshd: install OpenSSH's server"
    say "downloading openssh-server into .sshd: under 1 MB"
    tmp=$(mktemp -d .sshd.XXXXXX)
    temporary+=("$tmp")
    (cd "$tmp" && apt-get download -q openssh-server libwrap0 >/dev/null 2>&1) || {
      local as_root=; [ "$(id -u)" = 0 ] || as_root="sudo -n"
      $as_root apt-get update -q >/dev/null
      (cd "$tmp" && apt-get download -q openssh-server libwrap0 >/dev/null)
    }
    for package in "$tmp"/*.deb; do dpkg -x "$package" "$tmp/root"; done
    rm -rf .sshd
    mv "$tmp/root" .sshd
    rm -rf "$tmp"
  fi
  if [ "$(id -u)" = 0 ]; then
    # An sshd of root gives up its rights to this user, in this folder, before anyone has logged in.
    id sshd >/dev/null 2>&1 || useradd --system --no-create-home --home-dir /run/sshd --shell /usr/sbin/nologin sshd
    mkdir -p -m 755 /run/sshd
  fi
  say "sshd: ready"
}

[ -z "$ort" ] || setup_ort
[ -z "$torch" ] || setup_torch
[ -z "$oracles" ] || setup_oracles
[ -z "$peers" ] || setup_peers
[ -z "$gpu_peers" ] || setup_gpu_peers
[ -z "$pictures" ] || setup_pictures
[ -z "$vulkan" ] || setup_vulkan
[ -z "$sshd" ] || setup_sshd
