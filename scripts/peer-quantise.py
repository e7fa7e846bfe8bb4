#!/usr/bin/env python3
"""Quantise a model with onnxruntime.quantization, every calibration method it has.

usage: peer-quantise.py MODEL.onnx INPUTS.npy OUT_DIR [--reduce-range]

INPUTS are the calibration inputs, f32 [n, C, H, W]. Static, Q/DQ, U8S8, weights per channel, after the
tool's own pre-processing. Writes OUT_DIR/METHOD.onnx and OUT_DIR/seconds.json, {METHOD: seconds}.
"""
import json, os, sys, time
import numpy as np
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Reader(CalibrationDataReader):
    def __init__(self, images):
        self.rest = iter(images)

    def get_next(self):
        image = next(self.rest, None)
        return None if image is None else {"image": image[None]}


def main(model, inputs, out, reduce_range):
    os.makedirs(out, exist_ok=True)
    images = np.load(inputs)
    prepared = os.path.join(out, "prepared.model")
    started = time.perf_counter()
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    preparing = time.perf_counter() - started
    methods = {
        "minmax": (CalibrationMethod.MinMax, {}),
        "percentile": (CalibrationMethod.Percentile, {}),
        "percentile-9999": (CalibrationMethod.Percentile, {"CalibPercentile": 99.99}),
        "entropy": (CalibrationMethod.Entropy, {}),
    }
    seconds = {}
    for name, (method, extra) in methods.items():
        started = time.perf_counter()
        quantize_static(
            prepared, os.path.join(out, name + ".onnx"), Reader(images), quant_format=QuantFormat.QDQ,
            per_channel=True, reduce_range=reduce_range, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, calibrate_method=method, extra_options=extra,
        )
        seconds[name] = preparing + time.perf_counter() - started
        print(name, round(seconds[name], 2), file=sys.stderr)
    with open(os.path.join(out, "seconds.json"), "w") as f:
        json.dump(seconds, f)


if __name__ == "__main__":
    flags = [a for a in sys.argv[1:] if a.startswith("--")]
    paths = [a for a in sys.argv[1:] if not a.startswith("--")]
    if len(paths) != 3 or any(f != "--reduce-range" for f in flags):
        sys.exit(__doc__)
    main(*paths, bool(flags))
