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


state_dicts()
