"""Pillow's answers for core/src/image/resize.rs: `python make-resize-fixture.py > core/src/image/fixtures/resize-pil.txt` (needs pillow)."""
from PIL import Image, __version__


def noise(n):
    state = 1
    for _ in range(n):
        state = (state * 1664525 + 1013904223) % 2**32
        yield state >> 24


print(f"# Pillow {__version__}, Image.resize(.., BILINEAR) of noise: channels height width to_height to_width: planes in hex")
for c, h, w, th, tw in [
    (1, 16, 16, 8, 8), (3, 20, 31, 7, 9), (1, 9, 13, 13, 9), (3, 4, 4, 9, 11), (1, 64, 48, 5, 4), (1, 1, 40, 3, 7),
    (1, 40, 1, 7, 3), (3, 7, 7, 7, 7), (1, 33, 65, 32, 64), (1, 2, 2, 1, 1), (3, 128, 100, 6, 5), (1, 10, 300, 10, 28),
    (1, 300, 10, 28, 10), (1, 5, 8, 5, 3),
]:
    planes = bytes(noise(c * h * w))
    out = ""
    for i in range(c):
        plane = Image.frombytes("L", (w, h), planes[i * h * w:(i + 1) * h * w])
        out += plane.resize((tw, th), Image.BILINEAR).tobytes().hex()
    print(f"{c} {h} {w} {th} {tw}: {out}")
