#!/usr/bin/env bash
# make lint: the structure (scripts/wings.sh), and the licences, bans, sources and known advisories of all dependencies, by
# cargo-deny, which is built once into .tools/. Where the advisories' database cannot be fetched, that is said and the rest
# counts.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
deny=.tools/bin/cargo-deny
scripts/wings.sh
if [ "$("$deny" --version 2>/dev/null)" != "cargo-deny $version" ]; then
  echo "lint: building cargo-deny $version into .tools/: some minutes, once" >&2
  cargo install --quiet --locked --root .tools "cargo-deny@$version"
fi
"$deny" check licenses bans sources
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if "$deny" check advisories >"$log" 2>&1; then
  cat "$log"
elif grep -q 'failed to fetch advisory database\|failed to load advisory database' "$log"; then
  echo "lint: advisories not checked: their database could not be fetched" >&2
else
  cat "$log" >&2
  exit 1
fi
