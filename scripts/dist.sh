#!/usr/bin/env bash
# make dist TARGET=aarch64-unknown-linux-gnu|x86_64-unknown-linux-gnu: what a device needs, in one tar.gz
# under dist/: gtn-run, ONNX Runtime's library, licences and notices, a README of three lines.
#
# For another architecture than this machine's it wants Rust's standard library and a C linker for it:
# `rustup target add aarch64-unknown-linux-gnu` and Debian's gcc-aarch64-linux-gnu. Where those cannot be
# had, scripts/arm64-tools.sh fetches Debian's packages into .arm64/ and the standard library is built.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:?wanted a target: aarch64-unknown-linux-gnu or x86_64-unknown-linux-gnu}
case $target in
  x86_64-unknown-linux-gnu) platform=manylinux_2_28_x86_64 ;;
  aarch64-unknown-linux-gnu) platform=manylinux_2_28_aarch64 ;;
  *) echo "dist: error: TARGET=$target: wanted aarch64-unknown-linux-gnu or x86_64-unknown-linux-gnu" >&2; exit 2 ;;
esac
scripts/setup.sh --ort
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
ort=$(sed -n 's/^ORT_VERSION=//p' scripts/setup.sh)
name=gtn-run-$version-$target
build=$(mktemp -d dist.XXXXXX)
trap 'rm -rf "$build"' EXIT
mkdir -p "$build/$name" dist

strip=strip
# A build folder of its own: the standard library's flags would rebuild everything else.
cargo=(cargo build --release --locked -p gtn-run --target "$target" --target-dir target/dist)
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
  # shellcheck source=/dev/null
  . scripts/arm64-tools.sh
  export RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT=$arm64_rust_src
  cargo+=(-Zbuild-std=std,panic_abort)
fi
if [ "$target" = aarch64-unknown-linux-gnu ] && [ "$(uname -m)" != aarch64 ]; then
  linker=$(command -v aarch64-linux-gnu-gcc || true) strip=aarch64-linux-gnu-strip
  if [ -z "$linker" ]; then
    # shellcheck source=/dev/null
    . scripts/arm64-tools.sh
    linker=$arm64_cc strip=$arm64_strip
  fi
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$linker
fi
"${cargo[@]}"
"$strip" -o "$build/$name/gtn-run" "target/dist/$target/release/gtn-run"

.venv/bin/pip download -q --no-deps --only-binary=:all: --platform "$platform" --python-version 3.11 -d "$build" "onnxruntime==$ort"
(cd "$build" && python3 -m zipfile -e onnxruntime-*.whl wheel)
cp "$build/wheel/onnxruntime/capi/libonnxruntime.so.$ort" "$build/$name/"
cp "$build/wheel/onnxruntime/LICENSE" "$build/$name/LICENSE.onnxruntime"
cp "$build/wheel/onnxruntime/ThirdPartyNotices.txt" "$build/$name/ThirdPartyNotices.onnxruntime.txt"
cp LICENSE-MIT LICENSE-APACHE "$build/$name/"
scripts/crate-notices.py "$target" > "$build/$name/ThirdPartyNotices.crates.txt"
cat > "$build/$name/README.txt" <<TEXT
gtn-run $version for $target, with ONNX Runtime $ort: copy this folder to the device.
./gtn-run BUNDLE.gtn proves a bundle's accuracy and latency there; ./gtn-run --help says what else it does.
The library beside the program is found by itself; licences and notices are in this folder.
TEXT
# The same inputs give the same bytes.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$build" -c "$name" | gzip -9n > "dist/$name.tar.gz"
ls -l "dist/$name.tar.gz"
