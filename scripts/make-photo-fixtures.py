"""Fixtures of pictures and picture sets: `python make-photo-fixtures.py core/src` (needs pillow and numpy).

What Pillow makes of WebP files (core/src/image/webp.rs); what Python 3 pickles (core/src/data/readers/pickle.rs).
"""
import pathlib, pickle, sys

import numpy
from PIL import Image

root = pathlib.Path(sys.argv[1])


def noise(n):
    state = 1
    for _ in range(n):
        state = (state * 1664525 + 1013904223) % 2**32
        yield state >> 24


def picture(mode, width, height):
    """Smooth colours with a little noise."""
    size = len(mode)
    pixels = bytearray(noise(size * width * height))
    for i in range(len(pixels)):
        y, x, c = i // size // width, i // size % width, i % size
        pixels[i] = (x * 255 // width * (c + 1) + y * 255 // height * (3 - c) + pixels[i] // 8) // 4 % 256
    return Image.frombytes(mode, (width, height), bytes(pixels))


def webp():
    out = root / "image/fixtures"
    exif = Image.Exif()
    exif[274] = 6
    rgb, rgba = picture("RGB", 33, 21), picture("RGBA", 19, 26)
    for name, image, how in [
        ("lossy", rgb, dict(quality=70)),
        ("lossless", rgb, dict(lossless=True)),
        ("lossless-alpha", rgba, dict(lossless=True, exact=True)),
        ("lossy-alpha-exif6", rgba, dict(quality=80, exif=exif)),
        ("animated", rgb, dict(lossless=True, save_all=True, append_images=[rgb.transpose(Image.FLIP_LEFT_RIGHT)])),
    ]:
        path = out / f"webp-{name}.webp"
        image.save(path, **how)
        answer = Image.open(path).convert("RGB")
        if "exif" in how:
            answer = answer.transpose(Image.ROTATE_270)
        answer.save(out / f"webp-{name}.png", optimize=True)


def pickles():
    out = root / "data/readers/fixtures"
    out.mkdir(exist_ok=True)
    data = numpy.array([[0, 200], [3, 4], [255, 128]], numpy.uint8)
    for name, protocol, array in [(str(p), p, data) for p in range(1, 5)] + [("4-fortran", 4, numpy.asfortranarray(data))]:
        whole = {"fine_labels": [5, 300, -70000], "names": ["apple", "caf\u00e9"], "data": array}
        (out / f"pickle-{name}.pkl").write_bytes(pickle.dumps(whole, protocol))


webp()
pickles()
