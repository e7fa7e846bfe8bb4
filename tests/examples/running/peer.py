"""The peers that gtn-run is measured against: other engines' Python interfaces.

peer.py models DIR                      writes the three models
peer.py serve PACKAGE MODEL THREADS     reads a count a line, runs that many inferences on a tensor made once,
                                        and prints the nanoseconds of each on one line
"""
import sys
from tempfile import NamedTemporaryFile
from time import perf_counter_ns

import numpy as np


class Net:
    """A chain of ONNX nodes with seeded weights."""

    def __init__(self, channels, side):
        from onnx import TensorProto, helper, numpy_helper
        self.h, self.n = helper, numpy_helper
        self.rng = np.random.default_rng(0)
        self.nodes, self.weights, self.at, self.channels = [], [], "image", channels
        self.inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", channels, side, side])]

    def add(self, op, *more, **attributes):
        out = f"t{len(self.nodes)}"
        self.nodes.append(self.h.make_node(op, [self.at, *more], [out], **attributes))
        self.at = out

    def weight(self, *shape, scale):
        name = f"w{len(self.weights)}"
        values = self.rng.normal(0, scale, shape).astype(np.float32)
        self.weights.append(self.n.from_array(values, name))
        return name

    def conv(self, width, kernel, stride=1, groups=1, relu6=True):
        fan_in = self.channels // groups * kernel * kernel
        w = self.weight(width, self.channels // groups, kernel, kernel, scale=(2 / fan_in) ** 0.5)
        b = self.weight(width, scale=0.1)
        pad = kernel // 2
        self.add("Conv", w, b, kernel_shape=[kernel] * 2, strides=[stride] * 2, group=groups, pads=[pad] * 4)
        if relu6:
            low, high = self.constant(0.0), self.constant(6.0)
            self.add("Clip", low, high)
        self.channels = width

    def constant(self, value):
        name = f"c{value}"
        if all(w.name != name for w in self.weights):
            self.weights.append(self.n.from_array(np.array(value, np.float32), name))
        return name

    def write(self, path, *shape):
        from onnx import TensorProto, checker, save
        self.nodes[-1].output[0] = "logits"
        out = [self.h.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", *shape])]
        graph = self.h.make_graph(self.nodes, "net", self.inputs, out, self.weights)
        model = self.h.make_model(graph, opset_imports=[self.h.make_opsetid("", 17)], ir_version=9)
        checker.check_model(model)
        save(model, path)


def mobilenet_v2(side, classes, strides):
    """Sandler et al. 2018, table 2; `strides` of the stem and the seven stages."""
    net = Net(3, side)
    net.conv(32, 3, strides[0])
    table = [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]
    for (expansion, width, count), stage_stride in zip(table, strides[1:]):
        for i in range(count):
            start, before = net.at, net.channels
            stride = stage_stride if i == 0 else 1
            hidden = before * expansion
            if expansion > 1:
                net.conv(hidden, 1)
            net.conv(hidden, 3, stride, groups=hidden)
            net.conv(width, 1, relu6=False)
            if stride == 1 and before == width:
                net.add("Add", start)
    net.conv(1280, 1)
    net.add("GlobalAveragePool")
    net.add("Flatten")
    net.add("Gemm", net.weight(classes, 1280, scale=0.03), net.weight(classes, scale=0.1), transB=1)
    return net


def models(folder):
    mobilenet_v2(224, 1000, [2, 1, 2, 2, 2, 1, 2, 1]).write(f"{folder}/mobilenetv2-224.onnx", 1000)
    # The usual form for 32 x 32 (kuangliu/pytorch-cifar): strides 1 in stem and second stage.
    mobilenet_v2(32, 100, [1, 1, 1, 2, 2, 1, 2, 1]).write(f"{folder}/mobilenetv2-32.onnx", 100)
    tiny = Net(8, 8)
    tiny.conv(8, 3)
    tiny.conv(8, 3)
    tiny.write(f"{folder}/tiny.onnx", 8, 8, 8)


def onnxruntime(path, threads):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_free_dimension_override_by_name("N", 1)
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    binding = session.io_binding()
    binding.bind_ortvalue_input(image.name, ort.OrtValue.ortvalue_from_numpy(made_up(image.shape)))
    binding.bind_output("logits")
    return ort.__version__, lambda: session.run_with_iobinding(binding)


def tract(path, threads):
    import tract
    from onnx import load, save
    assert threads == 1, "tract's Python package runs one thread"
    # tract wants one size wherever the file says N.
    proto, shape = load(path), image_shape(path)
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.value_info]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = 1
    with NamedTemporaryFile(suffix=".onnx") as fixed:
        save(proto, fixed.name)
        runnable = tract.onnx().load(fixed.name).into_model().into_runnable()
    inputs = [tract.Tensor.from_numpy(made_up(shape))]
    return tract.version(), lambda: runnable.run(inputs)


def openvino(path, threads):
    import openvino as ov
    core = ov.Core()
    model = core.read_model(path)
    shape = image_shape(path)
    model.reshape(shape)
    # As the others: float32 stays float32, one inference at a time.
    compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
                                                 "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(made_up(shape)))
    request.infer()
    return ov.__version__.split("-")[0], request.infer


def image_shape(path):
    from onnx import load
    dims = load(path).graph.input[0].type.tensor_type.shape.dim
    return [d.dim_value or 1 for d in dims]


def made_up(shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def serve(package, path, threads):
    version, infer = {"onnxruntime": onnxruntime, "tract": tract, "openvino": openvino}[package](path, threads)
    print(version, flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = perf_counter_ns()
            infer()
            times.append(perf_counter_ns() - start)
        print(*times, flush=True)


if sys.argv[1] == "models":
    models(sys.argv[2])
else:
    serve(sys.argv[2], sys.argv[3], int(sys.argv[4]))
