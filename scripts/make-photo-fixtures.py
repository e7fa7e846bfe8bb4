"""Fixtures of pictures and picture sets: `python make-photo-fixtures.py core/src` (needs pillow and numpy).

What Pillow makes of WebP files (core/src/image/webp.rs); what Python 3 pickles (core/src/data/readers/pickle.rs); and
Pillow's answers to what torchvision's augmentations ask of it (core/src/data/augment/).
"""
import math, pathlib, pickle, sys

import numpy
from PIL import Image, ImageEnhance, ImageOps, __version__

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


def hue(image, factor):
    """torchvision's adjust_hue."""
    h, s, v = image.convert("HSV").split()
    h = (numpy.asarray(h).astype(int) + int(factor * 255)) % 256
    return Image.merge("HSV", (Image.fromarray(h.astype(numpy.uint8)), s, v)).convert("RGB")


def affine(image, *matrix):
    return image.transform(image.size, Image.AFFINE, matrix, Image.NEAREST, fillcolor=(9, 8, 7))


def augmentations():
    """Two pictures of 13 x 7: noise, and a smooth one of few levels; and a larger one, which alone can be equalised."""
    width, height = 13, 7
    soft = bytes(30 + 9 * x + 5 * y + 11 * c for c in range(3) for y in range(height) for x in range(width))
    pictures = {"noise": bytes(noise(3 * width * height)), "soft": soft}
    enhance = {"brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast, "saturation": ImageEnhance.Color,
               "sharpness": ImageEnhance.Sharpness}
    cases = [(name, f, lambda i, f, e=e: e(i).enhance(f)) for name, e in enhance.items() for f in (0.01, 0.5, 0.93, 1, 1.3, 1.99)]
    cases += [("hue", f, hue) for f in (-0.5, -0.1, 0.03, 0.25, 0.5)]
    cases += [("posterize", b, ImageOps.posterize) for b in (2, 5, 8)]
    cases += [("solarize", t, ImageOps.solarize) for t in (0, 76.5, 127.5, 255)]
    cases += [("autocontrast", 0, lambda i, _: ImageOps.autocontrast(i)), ("equalize", 0, lambda i, _: ImageOps.equalize(i))]
    cases += [("shear_x", m, lambda i, m: affine(i, 1, m, 0, 0, 1, 0)) for m in (0.33, -0.66, 0.99)]
    cases += [("shear_y", m, lambda i, m: affine(i, 1, 0, 0, m, 1, 0)) for m in (0.33, -0.66, 0.99)]
    cases += [("translate_x", m, lambda i, m: affine(i, 1, 0, -int(m), 0, 1, 0)) for m in (3.2, -5)]
    cases += [("translate_y", m, lambda i, m: affine(i, 1, 0, 0, 0, 1, -int(m))) for m in (3.2, -5)]
    cases += [("rotate", a, lambda i, a: i.rotate(a, Image.NEAREST, fillcolor=(9, 8, 7))) for a in (4.5, -45, 90, 135, -121.5)]
    lines = [f"# Pillow {__version__}: picture operation number: planes in hex"]
    for which, planes in pictures.items():
        bands = [Image.frombytes("L", (width, height), planes[c * width * height:][:width * height]) for c in range(3)]
        image = Image.merge("RGB", bands)
        for name, number, how in cases:
            answer = b"".join(band.tobytes() for band in how(image, number).split())
            lines.append(f"{which} {name} {number}: {answer.hex()}")
    planes = bytes(b // 3 + 50 for b in noise(3 * 40 * 20))
    large = Image.merge("RGB", [Image.frombytes("L", (40, 20), planes[c * 800:][:800]) for c in range(3)])
    for name, how in [("autocontrast", ImageOps.autocontrast), ("equalize", ImageOps.equalize)]:
        answer = b"".join(band.tobytes() for band in how(large).split())
        lines.append(f"large {name} 0: {answer.hex()}")
    (root / "data/augment/fixtures").mkdir(parents=True, exist_ok=True)
    (root / "data/augment/fixtures/pil.txt").write_text("\n".join(lines) + "\n")


webp()
pickles()
augmentations()
