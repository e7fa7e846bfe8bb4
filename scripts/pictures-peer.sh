#!/usr/bin/env bash
# What training makes of picture files beside PIL: 500 made pictures of all kinds are decoded, kept, cropped and resized by our data
# path and by Pillow, and a table by kind says how far they are apart. Fails beyond the bounds that scripts/pictures-peer.py names.
#
#   scripts/pictures-peer.sh [COUNT [SIZE]]      500 pictures, 96 pixels
#
# Makes a venv with Pillow and numpy the first time (.venv-pictures, 25 MB), or takes PICTURES_PYTHON.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:-500} size=${2:-96}
if [ -z "${PICTURES_PYTHON:-}" ]; then
  scripts/setup.sh --pictures
  PICTURES_PYTHON=.venv-pictures/bin/python
fi
cargo build --release --locked -q -p gtn-core --features photos --example pictures
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$PICTURES_PYTHON" scripts/pictures-peer.py make "$work/made" "$count"
target/release/examples/pictures "$work/made/pictures" "$work/ours" "$size"
"$PICTURES_PYTHON" scripts/pictures-peer.py compare "$work/made" "$work/ours" "$size"
