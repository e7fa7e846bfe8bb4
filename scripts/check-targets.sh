#!/usr/bin/env bash
# Type-checks gtn-run, gtn-export and the code under them for systems other than this one. Where a system's
# standard library cannot be had, that is said.
set -euo pipefail
cd "$(dirname "$0")/.."
checked=0 missing=
for target in x86_64-pc-windows-msvc aarch64-apple-darwin aarch64-linux-android; do
  if scripts/rust-target.sh $target; then
    cargo check --quiet --locked -p gtn-core -p gtn-run -p gtn-export --target $target --target-dir target/check
    checked=$((checked + 1))
  else
    missing="$missing $target"
  fi
done
echo "$checked targets checked${missing:+; no standard library for:$missing}"
