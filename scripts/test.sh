#!/usr/bin/env bash
# make test: set-up, formatting, lints, all tests. The last line is `N passed, N failed, N skipped`.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --ort --torch --oracles --vulkan --sshd
# Busy-waiting threads of libtorch would starve the other tests on a small machine.
export OMP_WAIT_POLICY=passive
set -x
scripts/wings.sh
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
cargo build --workspace --locked
{ set +x; } 2>/dev/null
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$log" || status=$?
awk '/^test result:/ { passed += $4; failed += $6; skipped += $8 }
     END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
           exit !(passed > 0 && failed == 0 && skipped == 0) }' "$log" || status=1
exit $status
