#!/usr/bin/env bash
# make dist TARGET=...: what a device needs, in one tar.gz under dist/: gtn-run, licences and notices, a README of
# three lines, and
#   aarch64-unknown-linux-gnu, x86_64-unknown-linux-gnu      ONNX Runtime's library
#   aarch64-unknown-linux-musl, x86_64-unknown-linux-musl    nothing else: a static program with the pure-Rust
#                                                            backend, for phones and whatever has no glibc
#
# Rust's standard library for the target comes from rustup. For aarch64-unknown-linux-gnu a C linker is wanted:
# Debian's gcc-aarch64-linux-gnu, or what scripts/arm64-tools.sh fetches into .arm64/ (Debian's packages, not
# installed), which also has the library's source where rustup cannot help.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:?wanted a target, as aarch64-unknown-linux-gnu}
case $target in
  x86_64-unknown-linux-gnu) platform=manylinux_2_28_x86_64 ;;
  aarch64-unknown-linux-gnu) platform=manylinux_2_28_aarch64 ;;
  x86_64-unknown-linux-musl | aarch64-unknown-linux-musl) platform= ;;
  *) echo "dist: error: TARGET=$target: wanted {aarch64,x86_64}-unknown-linux-{gnu,musl}" >&2; exit 2 ;;
esac
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
name=gtn-run-$version-$target
build=$(mktemp -d dist.XXXXXX)
trap 'rm -rf "$build"' EXIT
mkdir -p "$build/$name" dist

# A build folder of its own: other flags would rebuild everything else.
export CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_PROFILE_RELEASE_DEBUG=false
cargo=(cargo build --release --locked -p gtn-run --target "$target" --target-dir target/dist)
if ! scripts/rust-target.sh "$target"; then
  [ "$target" = aarch64-unknown-linux-gnu ] || { echo "dist: error: no standard library for $target: rustup target add $target" >&2; exit 3; }
  # shellcheck source=/dev/null
  . scripts/arm64-tools.sh
  export RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT=$arm64_rust_src
  cargo+=(-Zbuild-std=std,panic_abort)
fi
features=()
variable=CARGO_TARGET_$(echo "$target" | tr 'a-z-' 'A-Z_')_LINKER
case $target in
  *-musl)
    # The C library and start files come with Rust's own for musl.
    export "$variable=rust-lld"
    features=(--no-default-features --features rust) ;;
  aarch64-*)
    if [ "$(uname -m)" != aarch64 ]; then
      linker=$(command -v aarch64-linux-gnu-gcc || true)
      if [ -z "$linker" ]; then
        # shellcheck source=/dev/null
        . scripts/arm64-tools.sh
        linker=$arm64_cc
      fi
      export "$variable=$linker"
    fi ;;
esac
"${cargo[@]}" "${features[@]}"
cp "target/dist/$target/release/gtn-run" "$build/$name/gtn-run"

with="Nothing else is needed: it is static, and its backend is pure Rust (rten)."
if [ -n "$platform" ]; then
  scripts/setup.sh --ort
  ort=$(sed -n 's/^ORT_VERSION=//p' scripts/setup.sh)
  .venv/bin/pip download -q --no-deps --only-binary=:all: --platform "$platform" --python-version 3.11 -d "$build" "onnxruntime==$ort"
  (cd "$build" && python3 -m zipfile -e onnxruntime-*.whl wheel)
  cp "$build/wheel/onnxruntime/capi/libonnxruntime.so.$ort" "$build/$name/"
  cp "$build/wheel/onnxruntime/LICENSE" "$build/$name/LICENSE.onnxruntime"
  cp "$build/wheel/onnxruntime/ThirdPartyNotices.txt" "$build/$name/ThirdPartyNotices.onnxruntime.txt"
  with="ONNX Runtime $ort beside the program is found by itself."
fi
notices=$build/$name/ThirdPartyNotices.crates.txt
cp LICENSE-MIT LICENSE-APACHE "$build/$name/"
scripts/crate-notices.py "$target" "${features[@]}" > "$notices"
case $target in
  *-musl) printf '%s\n' "musl libc - MIT - https://musl.libc.org: Copyright (c) 2005-2020 Rich Felker, et al." \
      "(the permission notice is that of LICENSE-MIT)" >> "$notices" ;;
esac
cat > "$build/$name/README.txt" <<TEXT
gtn-run $version for $target: copy this folder to the device. Licences and notices are in it.
./gtn-run BUNDLE.gtn proves a bundle's accuracy and latency there; ./gtn-run --help says what else it does.
$with
TEXT
# The same inputs give the same bytes.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$build" -c "$name" | gzip -9n > "dist/$name.tar.gz"
ls -l "dist/$name.tar.gz"
