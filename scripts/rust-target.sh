#!/usr/bin/env bash
# scripts/rust-target.sh TARGET: is Rust's standard library for TARGET here? Asks rustup for it where it is not.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:?wanted a target}
here() { [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; }
here || { command -v rustup >/dev/null && timeout 300 rustup -q target add "$target" >/dev/null 2>&1 && here; }
