"""Makes a small folder of pictures to try docs/own-photos.md with: `python3 scripts/make-photos.py DIR [EACH]`.

Five classes of drawn blossoms (disc, ring, star, cross, fan), EACH (default 40) of each, 100 to 200 pixels a side, on
noisy grounds; the same bytes every time. With them what people's folders hold: a file twice, one of them under another
class, and one that is cut off. Python's standard library is enough.
"""

import math
import pathlib
import random
import struct
import sys
import zlib


def png(width, height, rows):
    """An RGB picture as PNG; `rows` are bytes."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows), 6))
        + chunk(b"IEND", b"")
    )


# Whether a point (radius 0 to 1, angle) is on the blossom.
SHAPES = {
    "disc": lambda r, a: r < 0.9,
    "ring": lambda r, a: 0.5 < r < 0.95,
    "star": lambda r, a: r < 0.45 + 0.5 * abs(math.cos(2.5 * a)),
    "cross": lambda r, a: r < 0.95 and min(abs(math.sin(a)), abs(math.cos(a))) * r < 0.22,
    "fan": lambda r, a: r < 0.9 and math.sin(a) > -0.15 - 0.5 * abs(math.cos(3 * a)),
}
# What its colour is near to: as with flowers, a hint and no proof.
COLOURS = {"disc": (230, 190, 40), "ring": (235, 235, 225), "star": (215, 90, 170), "cross": (70, 90, 220), "fan": (205, 40, 45)}


def picture(shape, colour, rng):
    """One blossom somewhere on a ground of two colours and noise."""
    width, height = rng.randrange(100, 201), rng.randrange(100, 161)
    size = min(width, height)
    radius = size * rng.uniform(0.22, 0.46)
    x0, y0 = (rng.uniform(radius * 0.8, side - radius * 0.8) for side in (width, height))
    turn = rng.uniform(-0.5, 0.5)
    bloom = [max(0, min(255, c + rng.randrange(-60, 61))) for c in colour]
    shade, ground = ([rng.randrange(256) for _ in range(3)] for _ in range(2))
    while max(abs(g - b) for g, b in zip(ground, bloom)) < 90:
        ground = [rng.randrange(256) for _ in range(3)]
    wave = rng.uniform(0.02, 0.15)
    rows = []
    for y in range(height):
        row = bytearray()
        for x in range(width):
            dx, dy = (x - x0) / radius, (y0 - y) / radius
            r = math.hypot(dx, dy)
            if r < 1 and shape(r, math.atan2(dy, dx) + turn):
                tone, light = bloom, 1.1 - 0.3 * r
            else:
                mix = 0.5 + 0.5 * math.sin(wave * (x + 2 * y))
                tone, light = [g + (s - g) * mix * 0.4 for g, s in zip(ground, shade)], 1.0
            noise = rng.randrange(-14, 15)
            row += bytes(max(0, min(255, int(c * light) + noise)) for c in tone)
        rows.append(bytes(row))
    return png(width, height, rows)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    root, each = pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 40
    if root.exists():
        sys.exit(f"{root} is there already")
    for name, shape in SHAPES.items():
        (root / name).mkdir(parents=True)
        for k in range(each):
            (root / name / f"{k:03}.png").write_bytes(picture(shape, COLOURS[name], random.Random(f"{name} {k}")))
    first = (root / "disc" / "000.png").read_bytes()
    (root / "disc" / "copy of 000.png").write_bytes(first)
    (root / "ring" / "is a disc.png").write_bytes(first)
    (root / "star" / "cut off.png").write_bytes((root / "star" / "000.png").read_bytes()[:2000])
    print(f"{root}: {5 * each + 3} files, {len(SHAPES)} classes")


main()
