"""Pictures of all kinds for scripts/pictures-peer.sh, and what PIL makes of them beside what we make of them.

    pictures-peer.py make DIR COUNT          writes an image folder, DIR/pictures: the same bytes each time
    pictures-peer.py compare DIR OUT SIZE    OUT: what core/examples/pictures.rs wrote of it; exit status 1 beyond the bounds
"""
import collections, io, json, math, pathlib, random, struct, sys, warnings, zlib

import numpy
from PIL import Image, ImageOps, __version__, features

# Of JPEG: the share of values that must be within CLOSE, and what none may exceed. After resizing, of the same pixels.
SHARE, CLOSE, FAR, RESIZED = 0.999, 4, 8, 1


def pixels(rng, look, height, width, channels, top=255):
    """[height, width, channels] of 0 to `top`, float. Smooth, noise, as photographs are, or flat parts with sharp edges."""
    y, x = numpy.mgrid[:height, :width].astype(float)
    if look == "noise":
        return rng.uniform(0, top, (height, width, channels))
    planes = []
    for _ in range(channels):
        if look == "smooth":
            a, b, c = rng.uniform(-3, 3, 3)
            plane = numpy.sin(a * x / width + b * y / height + c) / 2 + 0.5
        elif look == "natural":  # amplitude falls as 1 / frequency
            fy, fx = numpy.fft.fftfreq(height)[:, None], numpy.fft.rfftfreq(width)[None]
            spectrum = numpy.fft.rfft2(rng.normal(size=(height, width))) / numpy.maximum(numpy.hypot(fy, fx), 1 / max(height, width))
            plane = numpy.fft.irfft2(spectrum, (height, width))
            plane = (plane - plane.min()) / max(numpy.ptp(plane), 1e-9)
        else:  # edges
            plane = numpy.full((height, width), rng.uniform())
            for _ in range(12):
                (t, b), (l, r) = sorted(rng.uniform(0, height + 1, 2)), sorted(rng.uniform(0, width + 1, 2))
                plane[int(t):int(b), int(l):int(r)] = rng.uniform()
        planes.append(plane)
    if look == "natural" and channels == 3:  # colours go together
        planes = [0.75 * planes[0] + 0.25 * p for p in planes]
    return numpy.stack(planes, -1) * top


def png(array, colour, depth, interlaced=False, palette=None, trns=None):
    """A PNG as PIL cannot write them: any depth, Adam7. `array` [height, width, samples] of integers."""
    height, width, _ = array.shape

    def rows(part):
        h, w, samples = part.shape
        if not h or not w:
            return b""
        if depth == 16:
            lines = part.astype(">u2").reshape(h, -1).view(numpy.uint8)
        elif depth == 8:
            lines = part.astype(numpy.uint8).reshape(h, -1)
        else:
            bits = (part.reshape(h, w)[:, :, None].astype(numpy.uint8) >> numpy.arange(depth - 1, -1, -1)) & 1
            lines = numpy.packbits(bits.reshape(h, -1), 1)
        step = max(1, samples * depth // 8)
        out = bytearray()
        for y, line in enumerate(lines):
            if y % 2:  # filter 1 (Sub) on odd rows, none on even ones
                before = numpy.concatenate([numpy.zeros(step, numpy.uint8), line])[: len(line)]
                out += b"\1" + (line - before).tobytes()
            else:
                out += b"\0" + line.tobytes()
        return bytes(out)

    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    data = b"".join(rows(array[t::dy, l::dx]) for t, l, dy, dx in passes) if interlaced else rows(array)
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced)))
    out += chunk(b"PLTE", palette) if palette else b""
    out += chunk(b"tRNS", trns) if trns else b""
    return out + chunk(b"IDAT", zlib.compress(data, 6)) + chunk(b"IEND", b"")


def saved(array, mode, kind, **how):
    image = Image.fromarray(array.astype(numpy.uint8).squeeze() if array.shape[2] == 1 else array.astype(numpy.uint8), mode)
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def jpeg(rng, look, h, w, channels=3, ycck=False, orientation=None, **how):
    how.setdefault("quality", int(rng.choice([30, 60, 75, 85, 92, 98])))
    if orientation:
        exif = Image.Exif()
        exif[274] = orientation
        how["exif"] = exif
    data = saved(pixels(rng, look, h, w, channels), {1: "L", 3: "RGB", 4: "CMYK"}[channels], "JPEG", **how)
    if ycck:  # PIL writes CMYK; the same samples under Adobe's other transform are YCCK
        at = data.index(b"Adobe") + 11
        assert data[at] == 0
        data = data[:at] + b"\2" + data[at + 1:]
    return data


def webp(rng, look, h, w, channels=3, **how):
    return saved(pixels(rng, look, h, w, channels), {3: "RGB", 4: "RGBA"}[channels], "WEBP", **how)


def drawn(rng, look, h, w, colour, depth, **how):
    """A PNG of a colour type (0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA)."""
    array = numpy.floor(pixels(rng, look, h, w, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour], 2**depth - 1e-6))
    if colour == 3:
        how["palette"] = rng.integers(0, 256, 3 * 2**depth, dtype=numpy.uint8).tobytes()
        if how.pop("clear", False):
            how["trns"] = rng.integers(0, 256, 2**depth, dtype=numpy.uint8).tobytes()
    return png(array, colour, depth, **how)


def kinds():
    """Name, ending, maker(rng, look, height, width)."""
    make = lambda f, *a, **k: lambda rng, look, h, w: f(rng, look, h, w, *a, **k)
    yield from [(f"PNG {n}", "png", make(drawn, *a, **k)) for n, a, k in [
        ("grey", (0, 8), {}), ("grey, 1 bit", (0, 1), {}), ("grey, 2 and 4 bits", (0, 4), {}), ("grey, 2 and 4 bits", (0, 2), {}),
        ("grey and alpha", (4, 8), {}), ("palette", (3, 8), {}), ("palette, 1 to 4 bits", (3, 1), {}),
        ("palette, 1 to 4 bits", (3, 4), {}), ("palette and tRNS", (3, 8), dict(clear=True)), ("RGB", (2, 8), {}),
        ("RGBA", (6, 8), {}), ("16 bits, grey", (0, 16), {}), ("16 bits, grey and alpha", (4, 16), {}), ("16 bits, RGB", (2, 16), {}),
        ("16 bits, RGBA", (6, 16), {}), ("interlaced", (2, 8), dict(interlaced=True)), ("interlaced", (0, 1), dict(interlaced=True)),
        ("interlaced", (6, 8), dict(interlaced=True)), ("interlaced", (3, 4), dict(interlaced=True)),
        ("interlaced", (0, 16), dict(interlaced=True))]]
    yield "PNG grey", "png", lambda rng, look, h, w: drawn(rng, look, h, w, 0, 8, trns=b"\0\7")
    for name, how in [("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2)]:
        yield f"JPEG {name}", "jpg", make(jpeg, subsampling=how)
        yield f"JPEG {name}, progressive", "jpg", make(jpeg, subsampling=how, progressive=True)
    yield "JPEG 4:2:0", "jpeg", make(jpeg, subsampling=2, restart_marker_blocks=3)
    yield "JPEG 4:2:0", "jpg", make(jpeg, subsampling=2, optimize=True)
    yield "JPEG grey", "jpg", make(jpeg, 1)
    yield "JPEG grey", "jpg", make(jpeg, 1, progressive=True)
    yield "JPEG CMYK", "jpg", make(jpeg, 4)
    yield "JPEG YCCK", "jpg", make(jpeg, 4, ycck=True)
    for turn in range(1, 9):
        yield "JPEG EXIF 1 to 8", "JPG", make(jpeg, orientation=turn, subsampling=turn % 3)
    yield "WebP lossy", "webp", make(webp, quality=40)
    yield "WebP lossy", "webp", make(webp, quality=85)
    yield "WebP lossless", "webp", make(webp, lossless=True)
    yield "WebP lossless and alpha", "webp", make(webp, 4, lossless=True, exact=True)
    yield "WebP lossy and alpha", "webp", make(webp, 4, quality=75)


def make(root, count):
    root.mkdir(parents=True, exist_ok=True)
    of = {}
    all_kinds, few = list(kinds()), [(1, 1), (1, 9), (9, 1), (2, 3), (8, 8), (15, 17), (16, 16), (33, 31)]
    draw = random.Random(7)
    for i in range(count):
        name, ending, maker = all_kinds[i % len(all_kinds)]
        turn = i // len(all_kinds)
        look = ["natural", "smooth", "edges", "noise"][(turn + i) % 4]
        size = lambda: round(math.exp(draw.uniform(math.log(5), math.log(700))))
        h, w = draw.choice(few) if draw.random() < 0.1 else (size(), size())
        w = min(w, 250_000 // h)
        file = f"{['one', 'two'][i % 2]}/{i:03}-{look}.{ending}"
        (root / "pictures" / file).parent.mkdir(parents=True, exist_ok=True)
        (root / "pictures" / file).write_bytes(maker(numpy.random.default_rng(i), look, h, w))
        of[file] = name
    (root / "kinds.json").write_text(json.dumps(of))


def by_pil(path):
    """[height, width, 3]: upright, transparency dropped, of 16 bits the high byte."""
    image = Image.open(path)
    if image.mode.startswith("I"):  # 16 bits of grey: PIL's own convert("RGB") cuts off at 255 instead
        grey = numpy.asarray(image).astype(numpy.uint32) >> 8
        return numpy.stack([grey.astype(numpy.uint8)] * 3, -1)
    return numpy.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def resized(image, height, width, box=None):
    return image.resize((width, height), Image.BILINEAR, box=box)


def middle(image, size):
    """torchvision's Resize(8/7 of the size) and CenterCrop."""
    short, (w, h) = -(-size * 8 // 7), image.size
    tall, wide = (short, int(short * w / h)) if h <= w else (int(short * h / w), short)
    image = resized(image, tall, wide)
    top, left = round((tall - size) / 2), round((wide - size) / 2)
    return image.crop((left, top, left + size, top + size))


def compare(root, out, size):
    found, broken = collections.defaultdict(list), []
    kinds = json.loads((root / "kinds.json").read_text())
    for line in (out / "pictures.jsonl").read_text().splitlines():
        said = json.loads(line)
        path, kind = root / "pictures" / said["name"], kinds[said["name"]]
        if "broken" in said:
            broken.append(f"{said['name']}: {said['broken']}")
            continue
        def ours(what, h, w):
            planes = numpy.fromfile(out / f"{said['place']}.{what}", numpy.uint8).reshape(3, h, w)
            return planes.transpose(1, 2, 0)
        decoded, theirs = ours("file", *said["file"]), by_pil(path)
        if decoded.shape != theirs.shape:
            broken.append(f"{said['name']}: {decoded.shape}, PIL {theirs.shape}")
            continue
        apart = lambda a, b: numpy.abs(numpy.asarray(a).astype(int) - b)
        # Resizing starts from our own pixels, so that what decoding differs by does not count twice.
        image = Image.fromarray(decoded)
        (h, w), short = said["kept"], -(-size * 8 // 7)
        kept = ours("kept", h, w)
        if min(said["file"]) > short:
            expected = tuple(short * side // min(said["file"]) for side in said["file"])
        else:
            expected = tuple(said["file"])
        assert expected == (h, w), (said, expected)
        top, left, rh, rw = said["rect"]
        part = Image.fromarray(kept).crop((left, top, left + rw, top + rh))
        part = resized(part, size, size)
        part = ImageOps.mirror(part) if said["flip"] else part
        stages = [
            apart(resized(image, h, w), kept).max(),
            apart(middle(image, size), ours("middle", size, size)).max(),
            apart(part, ours("part", size, size)).max(),
        ]
        whole = apart(middle(Image.fromarray(theirs), size), ours("middle", size, size))
        found[kind].append((apart(decoded, theirs), stages, whole, path.name))
    print(f"Pillow {__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}, libwebp {features.version('webp')}; "
          f"{sum(map(len, found.values()))} pictures, {size} x {size}")
    print("| kind | pictures | equal | within 4 | largest | resized from the same pixels: kept, middle, part | from the file: largest |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    failed = list(broken)
    for kind, some in sorted(found.items()):
        every = numpy.concatenate([d.ravel() for d, *_ in some])
        near, most = (every <= CLOSE).mean(), every.max()
        stages = numpy.max([s for _, s, *_ in some], 0)
        whole = max(int(w.max()) for _, _, w, _ in some)
        print(f"| {kind} | {len(some)} | {(every == 0).mean() * 100:.2f} % | {near * 100:.4f} % | {most} | "
              f"{', '.join(map(str, stages))} | {whole} |")
        worst = max(some, key=lambda s: s[0].max())[3]
        lossless = kind.startswith("PNG") or "lossless" in kind
        if most > (0 if lossless else FAR) or near < SHARE:
            failed.append(f"{kind}: decoded {near * 100:.4f} % within {CLOSE}, largest {most} ({worst})")
        if max(stages) > RESIZED:
            failed.append(f"{kind}: resized differs by {max(stages)}")
    print("\n".join(failed) or "all within the bounds")
    return 1 if failed else 0


if sys.argv[1] == "make":
    make(pathlib.Path(sys.argv[2]), int(sys.argv[3]))
else:
    sys.exit(compare(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), int(sys.argv[4])))
