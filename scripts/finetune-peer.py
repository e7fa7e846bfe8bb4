"""Fine-tunes EfficientNet-Lite0 on a folder of photographs in PyTorch, by `gtn-train --recipe finetune`'s rule, and
exports it to ONNX: what scripts/photos-trial.sh holds ours against, and a second framework's file for --teacher.

    finetune-peer.py DIR WEIGHTS.pth DATA.json OUT [--size 128] [--epochs 6] [--seed 0] [--backbone 0.5] [--scale 0.5]

DATA.json is what `gtn-train data imagefolder@SIZE:DIR --json` prints: its test part is the test part here too. A tenth of
the rest, drawn in each class, is left out as val is there. Writes OUT/peer.json, OUT/teacher.onnx, OUT/labels.txt and
OUT/preprocess.json.
"""

import argparse
import json
import math
import os
import random
import time

import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torchvision.transforms import v2

parser = argparse.ArgumentParser()
parser.add_argument("dir")
parser.add_argument("weights")
parser.add_argument("data")
parser.add_argument("out")
parser.add_argument("--size", type=int, default=128)
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--backbone", type=float, default=0.5)
parser.add_argument("--scale", type=float, default=0.5)
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()
torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
random.seed(args.seed)
os.makedirs(args.out, exist_ok=True)

judged = json.load(open(args.data))
classes = [c["name"] for c in judged["classes"]]
test_names = set(judged["test"])
train, test = [], []
for label, name in enumerate(classes):
    files = sorted(os.listdir(os.path.join(args.dir, name)))
    known = [f"{name}/{f}" for f in files]
    test += [(k, label) for k in known if k in test_names]
    rest = [(k, label) for k in known if k not in test_names]
    random.shuffle(rest)
    train += rest[len(rest) // 10 :]


def read(name):
    return Image.open(os.path.join(args.dir, name)).convert("RGB")


scaled = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32), v2.Normalize([127.0] * 3, [128.0] * 3)])
seen = v2.Compose(
    [
        v2.RandomResizedCrop(args.size, scale=(args.scale, 1.0), antialias=True),
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(0.2, 0.2, 0.2),
        scaled,
    ]
)
judged_as = v2.Compose([v2.Resize(args.size * 8 // 7, antialias=True), v2.CenterCrop(args.size), scaled])

net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=args.weights, num_classes=len(classes))
# By the same recipe: no dropout, no dropped blocks, and running statistics that follow as fast as ours.
net._global_params = net._global_params._replace(dropout_rate=0.0, drop_connect_rate=0.0)
net._dropout.p = 0.0
for module in net.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
        module.momentum = 0.1
head = list(net._fc.parameters())
ids = {id(p) for p in head}
# As ours: weights decay, norms and biases do not; the backbone learns at a share of the head's rate.
groups = {}
for p in net.parameters():
    key = (id(p) in ids, p.dim() > 1)
    groups.setdefault(key, []).append(p)
LR = 1e-3
optimizer = torch.optim.AdamW(
    [
        {
            "params": g,
            "lr": LR,
            "share": 1.0 if is_head else args.backbone,
            "weight_decay": 0.05 if decays else 0.0,
        }
        for (is_head, decays), g in groups.items()
    ]
)
loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
BATCH = 32
steps_an_epoch = len(train) // BATCH
steps, warm = args.epochs * steps_an_epoch, steps_an_epoch


def rate(step):
    if step < warm:
        return (step + 1) / warm
    t = (step - warm) / max(1, steps - warm)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * t))


began, step = time.time(), 0
for epoch in range(args.epochs):
    net.train()
    random.shuffle(train)
    for b in range(steps_an_epoch):
        batch = train[b * BATCH : (b + 1) * BATCH]
        x = torch.stack([seen(read(name)) for name, _ in batch])
        y = torch.tensor([label for _, label in batch])
        for group in optimizer.param_groups:
            group["lr"] = LR * group["share"] * rate(step)
        optimizer.zero_grad()
        loss = loss_of(net(x), y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        step += 1
    print(f"epoch {epoch + 1} loss {loss.item():.3f} minutes {(time.time() - began) / 60:.1f}", flush=True)

net.eval()
right = 0
with torch.no_grad():
    for b in range(0, len(test), 64):
        part = test[b : b + 64]
        x = torch.stack([judged_as(read(name)) for name, _ in part])
        right += (net(x).argmax(1) == torch.tensor([label for _, label in part])).sum().item()
found = {
    "test_top1": right / len(test),
    "test": len(test),
    "train": len(train),
    "minutes": (time.time() - began) / 60,
    **vars(args),
}
found = {k: v for k, v in found.items() if k not in ("dir", "weights", "data", "out")}
json.dump(found, open(os.path.join(args.out, "peer.json"), "w"), indent=1)
print(json.dumps(found))
if hasattr(net, "set_swish"):
    net.set_swish(memory_efficient=False)
torch.onnx.export(
    net,
    (torch.zeros(2, 3, args.size, args.size),),
    os.path.join(args.out, "teacher.onnx"),
    input_names=["image"],
    output_names=["logits"],
    dynamic_shapes=({0: torch.export.Dim("batch")},),
    external_data=False,
)
open(os.path.join(args.out, "labels.txt"), "w").write("".join(c + "\n" for c in classes))
json.dump(
    {
        "channels": 3,
        "height": args.size,
        "width": args.size,
        "mean": [127 / 255] * 3,
        "std": [128 / 255] * 3,
    },
    open(os.path.join(args.out, "preprocess.json"), "w"),
)
