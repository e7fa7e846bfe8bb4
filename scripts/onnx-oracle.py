#!/usr/bin/env python3
"""Judge bundles from outside: onnx.checker with full_check, and Python's ONNX Runtime.

usage: onnx-oracle.py DIR      for each DIR/X.gtn with DIR/X.npy (inputs, f32 [n, C, H, W])

Writes DIR/X.logits.npy; prints the number of bundles. Any failure is an exception that names the bundle.
"""
import glob, os, platform, sys
import numpy as np, onnx, onnxruntime


def saturates():
    """Whether this is x86 without VNNI (core/src/quant/saturation.rs)."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    with open("/proc/cpuinfo") as f:
        flags = f.read().split()
    return "avx512_vnni" not in flags and "avx_vnni" not in flags


def main(folder):
    bundles = sorted(glob.glob(os.path.join(folder, "*.gtn")))
    for bundle in bundles:
        try:
            model = os.path.join(bundle, "model.onnx")
            onnx.checker.check_model(model, full_check=True)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            # As gtn-run: bundles for ARM have int8 activations, which x86 fuses only when told to.
            options.add_session_config_entry("session.qdqisint8allowed", "1")
            # And where sums of 8-bit weights would saturate: Q/DQ pairs as they stand, not fused.
            if saturates():
                options.add_session_config_entry("session.disable_quant_qdq", "1")
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            images = np.load(bundle[:-4] + ".npy")
            rows = [session.run(["logits"], {"image": x[None]})[0] for x in images]
            np.save(bundle[:-4] + ".logits.npy", np.concatenate(rows))
        except Exception as e:
            raise RuntimeError(bundle) from e
    print(len(bundles))


if __name__ == "__main__":
    main(sys.argv[1]) if len(sys.argv) == 2 else sys.exit(__doc__)
