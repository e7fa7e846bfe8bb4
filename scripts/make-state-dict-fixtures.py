"""Fixtures of PyTorch files: `python make-state-dict-fixtures.py core/src` (needs torch, torchvision, timm and
efficientnet_lite_pytorch).

State dicts as torch.save writes them, good and hostile (core/src/io/state_dict/); the names and shapes of published
networks, and a small network with its logits (core/src/nets/pretrained/).
"""
import collections, os, pathlib, sys, warnings, zipfile

import torch

root = pathlib.Path(sys.argv[1])
warnings.simplefilter("ignore")


class Call:
    """What unpickles to a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def state_dicts():
    out = root / "io/state_dict/fixtures"
    out.mkdir(exist_ok=True)
    base = torch.arange(12, dtype=torch.float32)
    whole = collections.OrderedDict(
        plain=torch.tensor([[0.5, -1.5, 2.0], [3.0, 4.0, -0.25]]),
        turned=base[:6].view(2, 3).t(),
        part=base[4:7],
        every_other=base[1::4],
        tied=base,
        stretched=torch.tensor([[7.0], [8.0]]).expand(2, 1),
        half=torch.tensor([1.0, -2.5, 65504.0]).half(),
        brain=torch.tensor([1.0, -3.0]).bfloat16(),
        double=torch.tensor([0.1, -1e300], dtype=torch.float64),
        weight=torch.nn.Parameter(torch.tensor([9.0])),
        count=torch.tensor(70000),
        flags=torch.tensor([True, False]),
        empty=torch.zeros(0, 3),
    )
    module = {"module." + name: whole[name] for name in ("plain", "half")}
    checkpoint = {"epoch": 3, "best": 0.75, "none": None, "optimizer": {"state": {}, "lr": [0.1, 0.2]}, "state_dict": module}
    for name, what in [
        ("plain", whole),
        ("checkpoint", checkpoint),
        ("twice-wrapped", {"model": {"model_state_dict": {"a": base}}}),
        ("posix-system", {"a": base, "b": Call(os.system, "touch state-dict-was-run")}),
        ("eval", {"a": base, "b": Call(eval, "1 + 1")}),
        ("module", torch.nn.Linear(1, 1)),
        ("no-tensor", {"a": base, "b": "text"}),
        ("number-as-name", {1: base}),
    ]:
        torch.save(what, out / f"{name}.pth")
        if name != "module":  # its source and where that is would be in the file
            torch.save(what, out / f"{name}.legacy.pth", _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(out / "plain.pth") as read, zipfile.ZipFile(out / "deflated.pth", "w", zipfile.ZIP_DEFLATED) as write:
        for entry in read.namelist():
            write.writestr(entry, read.read(entry))


def listed(state_dict):
    """One line for each layer: `NAME SHAPE` (weight), `NAME SHAPE +` (and a bias), `NAME SIZE bn` (and the other four)."""
    layers = {}
    for name, tensor in state_dict.items():
        layer, kind = name.rsplit(".", 1)
        layers.setdefault(layer, {})[kind] = list(tensor.shape)
    for layer, kinds in layers.items():
        shape = kinds.pop("weight")
        size = shape[:1]
        if kinds == {"bias": size, "running_mean": size, "running_var": size, "num_batches_tracked": []}:
            end = " bn"
        else:
            assert kinds in ({}, {"bias": size}), (layer, kinds)
            end = " +" if kinds else ""
        yield f"{layer} {'x'.join(map(str, shape))}{end}"


def names():
    import timm, torchvision.models
    from efficientnet_lite_pytorch import EfficientNet

    out = root / "nets/pretrained/fixtures"
    out.mkdir(parents=True, exist_ok=True)
    of_torchvision = lambda name: getattr(torchvision.models, name)()
    of_timm = timm.create_model
    sources = {
        "resnet18": [("torchvision", of_torchvision, "resnet18")],
        "resnet34": [("torchvision", of_torchvision, "resnet34")],
        "resnet50": [("torchvision", of_torchvision, "resnet50")],
        "mobilenetv2": [("torchvision", of_torchvision, "mobilenet_v2"), ("timm", of_timm, "mobilenetv2_100")],
    }
    for size in ("small", "large"):
        sources[f"mobilenetv3-{size}"] = [
            ("torchvision", of_torchvision, f"mobilenet_v3_{size}"),
            ("timm", of_timm, f"tf_mobilenetv3_{size}_100"),
        ]
    for i in range(5):
        sources[f"efficientnet-lite{i}"] = [
            ("EfficientNet-PyTorch", EfficientNet.from_name, f"efficientnet-lite{i}"),
            ("timm", of_timm, f"tf_efficientnet_lite{i}"),
        ]
    for ours, all_of in sources.items():
        text = []
        for naming, make, theirs in all_of:
            text += [f"= {naming}", *listed(make(theirs).state_dict())]
        (out / f"{ours}.txt").write_text("\n".join(text) + "\n")
    for i in range(3):
        # timm's own ResNets have torchvision's names.
        theirs = f"resnet{(18, 34, 50)[i]}"
        assert list(listed(of_timm(theirs).state_dict())) == list(listed(of_torchvision(theirs).state_dict()))


def network():
    """A MobileNetV2 of torchvision's with few blocks and channels, its weights and its logits for one picture."""
    import torchvision
    from torchvision.ops import Conv2dNormActivation

    torch.manual_seed(1)
    rows = [[1, 8, 1, 1], [3, 8, 2, 2], [6, 16, 1, 2]]
    net = torchvision.models.MobileNetV2(num_classes=5, width_mult=1.0, inverted_residual_setting=rows)
    net.features[0] = Conv2dNormActivation(3, 32, stride=2, activation_layer=torch.nn.ReLU6)
    net.features[-1] = Conv2dNormActivation(16, 24, kernel_size=1, activation_layer=torch.nn.ReLU6)
    net.classifier[1] = torch.nn.Linear(24, 5)
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand_like(value) + 0.5)
        elif value.dim() == 1:
            value.copy_(torch.randn_like(value) * 0.3 + (name.endswith("weight")))
        elif value.dim() > 1:
            value.copy_(torch.randn_like(value) * (2 / value[0].numel()) ** 0.5)
    net.eval()
    image = torch.tensor([(i * 37 % 101) / 50 - 1 for i in range(3 * 16 * 16)]).view(1, 3, 16, 16)
    torch.save(net.state_dict(), root / "nets/pretrained/fixtures/small-mobilenet-v2.pth")
    with torch.no_grad():
        print("logits for core/src/nets/pretrained/tests.rs:", net(image)[0].tolist())


state_dicts()
names()
network()
