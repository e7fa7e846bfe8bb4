"""GPU runtimes that have Python packages.

peer.py RUNTIME MODEL.onnx CHANNELS HEIGHT WIDTH      what it says and reads: child.rs
"""
import os
import sys
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from statistics import median
from time import perf_counter_ns

import numpy as np


def webgpu(model, image):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.add_free_dimension_override_by_name("N", 1)
    # Where it gets no adapter it would go on with the CPU, unless told not to.
    providers = [("WebGpuExecutionProvider", {"powerPreference": "high-performance"})]
    session = ort.InferenceSession(str(model), options, providers=providers, enable_fallback=0)
    name = session.get_inputs()[0].name
    return ort.__version__, "the adapter that Dawn takes", lambda: session.run(None, {name: image})[0]


def vulkan_ncnn(model, image, fp32, winograd=True):
    import ncnn
    net = ncnn.Net()
    net.opt.use_vulkan_compute = True
    device = ncnn.get_default_gpu_index()
    if device < 0:
        sys.exit("error: ncnn finds no Vulkan adapter")
    if fp32:
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
            setattr(net.opt, option, False)
    net.opt.use_winograd_convolution = winograd
    net.set_vulkan_device(device)
    base = model.with_suffix(".ncnn")
    for failed in (net.load_param(f"{base}.param"), net.load_model(f"{base}.bin")):
        if failed:
            sys.exit(f"error: ncnn cannot load {base}")

    def infer():
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(image[0]))
        failed, logits = extractor.extract("out0")
        if failed:
            sys.exit(f"error: extract: {failed}")
        return np.array(logits)

    return version("ncnn"), ncnn.get_gpu_info(device).device_name(), infer


def torch_eager(model, image, device):
    import torch
    if device == "cuda":
        if not torch.cuda.is_available():
            sys.exit("no CUDA device: not measured")
        torch.backends.cudnn.benchmark = True
        # float32 stays float32, as for the others.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    # pnnx writes the network as a PyTorch module, too, which looks for its weights in the working directory.
    os.chdir(model.parent)
    spec = spec_from_file_location("net", model.with_name(f"{model.stem}_pnnx.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    net = module.Model().float().eval().to(device)
    host = torch.from_numpy(image)

    @torch.inference_mode()
    def infer():
        return net(host.to(device)).cpu().numpy()

    return torch.__version__, torch.cuda.get_device_name() if device == "cuda" else "CPU", infer


RUNTIMES = {
    "webgpu": webgpu,
    "ncnn": lambda model, image: vulkan_ncnn(model, image, fp32=False),
    "ncnn-fp32": lambda model, image: vulkan_ncnn(model, image, fp32=True),
    "ncnn-direct": lambda model, image: vulkan_ncnn(model, image, fp32=True, winograd=False),
    "torch-cpu": lambda model, image: torch_eager(model, image, "cpu"),
    "torch-cuda": lambda model, image: torch_eager(model, image, "cuda"),
}


# What runtimes print is no answer.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
runtime, model, *shape = sys.argv[1:]
model = Path(model).resolve()
image = np.fromfile(model.with_suffix(".f32"), "<f4").reshape(1, *map(int, shape))
number, adapter, infer = RUNTIMES[runtime](model, image)
print(number, adapter, sep="\n", file=answers, flush=True)
for line in sys.stdin:
    logits = infer()
    times, end = [], perf_counter_ns() + float(line) * 1e9
    while len(times) < 3 or perf_counter_ns() < end:
        start = perf_counter_ns()
        logits = infer()
        times.append(perf_counter_ns() - start)
    print(median(times), *np.ravel(logits).tolist(), file=answers, flush=True)
