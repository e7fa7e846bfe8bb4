#!/usr/bin/env python3
"""crate-notices.py TARGET [CARGO FLAG ...]: names, licences and licence texts of every crate in gtn-run, for dist."""
import json
import pathlib
import subprocess
import sys

target = sys.argv[1]
tree = ["cargo", "tree", "--locked", "-p", "gtn-run", "-e", "normal", "--target", target, "--prefix", "none", "-f", "{p}", *sys.argv[2:]]
lines = subprocess.run(tree, check=True, capture_output=True, text=True).stdout.splitlines()
used = {tuple(line.split()[:2]) for line in lines}
meta = ["cargo", "metadata", "--locked", "--format-version", "1"]
packages = json.loads(subprocess.run(meta, check=True, capture_output=True, text=True).stdout)["packages"]
for package in sorted(packages, key=lambda p: p["name"]):
    if package["source"] is None or (package["name"], "v" + package["version"]) not in used:
        continue
    print("=" * 100)
    print(package["name"], package["version"], "-", package["license"], "-", package["repository"] or "")
    folder = pathlib.Path(package["manifest_path"]).parent
    texts = [p for p in sorted(folder.iterdir()) if p.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"))]
    for text in texts:
        if text.is_file():
            print(f"\n--- {text.name}\n\n{text.read_text(errors='replace').strip()}\n")
