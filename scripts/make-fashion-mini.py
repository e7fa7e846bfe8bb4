#!/usr/bin/env python3
"""Make core/data/fashion-mnist-mini/ from the full Fashion-MNIST (reproducible, standard library only).

usage: make-fashion-mini.py FULL_DIR OUT_DIR

Takes the first 1,000 training and the first 200 test images of each class, in their original order, and
writes them as gzip-compressed idx files (no time stamps, so the same input gives the same bytes).
"""
import gzip, os, struct, sys, zlib


def load(path):
    with gzip.open(path, "rb") as f:
        return f.read()


def best_gzip(data):
    """The smallest of zlib's strategies, in a gzip frame with a zero time stamp."""
    candidates = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED):
        c = zlib.compressobj(9, zlib.DEFLATED, -15, 9, strategy)
        candidates.append(c.compress(data) + c.flush())
    body = min(candidates, key=len)
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    return head + body + struct.pack("<II", zlib.crc32(data), len(data))


def main(full, out):
    os.makedirs(out, exist_ok=True)
    for part, per_class in (("train", 1000), ("t10k", 200)):
        images = load(f"{full}/{part}-images-idx3-ubyte.gz")
        labels = load(f"{full}/{part}-labels-idx1-ubyte.gz")[8:]
        taken, counts = [], [0] * 10
        for i, label in enumerate(labels):
            if counts[label] < per_class:
                counts[label] += 1
                taken.append(i)
        pixels = b"".join(images[16 + 784 * i : 16 + 784 * (i + 1)] for i in taken)
        files = {
            f"{part}-images-idx3-ubyte.gz": struct.pack(">IIII", 2051, len(taken), 28, 28) + pixels,
            f"{part}-labels-idx1-ubyte.gz": struct.pack(">II", 2049, len(taken)) + bytes(labels[i] for i in taken),
        }
        for name, data in files.items():
            with open(os.path.join(out, name), "wb") as f:
                f.write(best_gzip(data))
            print(f"{name}: {len(taken)} records, {os.path.getsize(os.path.join(out, name))} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) == 3 else sys.exit(__doc__)
