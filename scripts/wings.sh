#!/usr/bin/env bash
# Keeps the house in order: no import climbs from a lower wing to a higher one (floors: scripts/wings.txt), no folder below
# a src/ holds more than 20 source files side by side (gpu/ops apart), no file has more than 500 lines,
# and the files that the guides name are there.
#   scripts/wings.sh [--arrows]    --arrows: prints every import between wings, with how many files have it
set -euo pipefail
cd "$(dirname "$0")/.."
python3 - "$@" <<'PY'
import collections, pathlib, re, sys

MOST_FILES, MOST_LINES = 20, 500
ROOTS = {"core": "core/src", "exporter": "exporter/src", "runtime": "runtime/src",
         "gtn-run": "runtime/src/bin/gtn-run", "trainer": "trainer/src"}
floors, allowed = {}, {}
for line in pathlib.Path("scripts/wings.txt").read_text().splitlines():
    line = line.split("#")[0].strip()
    if line.startswith("allow "):
        crate, above, below = line.split()[1:4]
        allowed[crate, above, below] = 0
    elif line:
        crate, wings = line.split(":")
        floors[crate] = [wing.strip() for wing in wings.split(",")]
complaints = []

def imports(text):
    """First names behind `crate::`, of code that is no test's and no comment's."""
    text = re.split(r"#\[cfg\(test\)\]\nmod \w+ \{", text)[0]
    text = re.sub(r"//[^\n]*", "", text)
    yield from re.findall(r"\bcrate::(\w+)", text)
    for group in re.findall(r"\bcrate::\{([^;]*)\}", text):
        depth = 0
        for part in re.findall(r"[{}]|\w+|,|::", group):
            depth += {"{": 1, "}": -1}.get(part, 0)
            if depth == 0 and re.match(r"\w", part):
                yield part

arrows = collections.Counter()
for crate, root in ROOTS.items():
    root, order = pathlib.Path(root), floors[crate]
    for path in sorted(root.rglob("*.rs")):
        inner = path.relative_to(root)
        if inner.parts[0] == "bin":
            continue
        wing = inner.parts[0].removesuffix(".rs")
        if wing in ("lib", "main"):
            continue
        if wing not in order:
            complaints.append(f"{path}: wing `{wing}` has no floor in scripts/wings.txt")
            continue
        for other in sorted(set(imports(path.read_text()))):
            if other == wing or other not in order:
                continue  # itself, or a name of the root (Error, Result)
            arrows[crate, wing, other] += 1
            if order.index(other) > order.index(wing):
                if (crate, wing, other) in allowed:
                    allowed[crate, wing, other] += 1
                else:
                    complaints.append(f"{path}: {wing} imports {other}, which stands above it")
for (crate, above, below), used in allowed.items():
    if not used:
        complaints.append(f"scripts/wings.txt: `allow {crate} {above} {below}` is not needed")
for root in ["core", "exporter", "runtime", "trainer", "tests"]:
    folders = collections.Counter()
    for path in sorted(pathlib.Path(root).rglob("*.rs")):
        if "target" in path.parts:
            continue
        lines = len(path.read_text().splitlines())
        if lines > MOST_LINES:
            complaints.append(f"{path}: {lines} lines, at most {MOST_LINES}")
        if "src" in path.parts:
            folders[path.parent] += 1
    for folder, files in folders.items():
        if files > MOST_FILES and not str(folder).endswith("gpu/ops"):
            complaints.append(f"{folder}: {files} source files side by side, at most {MOST_FILES}")
# What the guides name must be there.
for guide in ["docs/architecture.md", "docs/adding.md"]:
    for name in re.findall(r"`((?:core|exporter|runtime|trainer|tests|devices|scripts)/[^`\s]*)`", pathlib.Path(guide).read_text()):
        if "NAME" not in name and not pathlib.Path(name).exists():
            complaints.append(f"{guide}: names `{name}`, which is not there")
if "--arrows" in sys.argv:
    for (crate, wing, other), files in sorted(arrows.items()):
        print(f"{crate}: {wing} -> {other} ({files})")
if complaints:
    sys.exit("\n".join(f"wings: {complaint}" for complaint in complaints))
count = collections.Counter(crate for crate, _, _ in arrows)
print("wings: " + ", ".join(f"{crate} {len(floors[crate])} rooms {count[crate]} arrows" for crate in floors))
PY
