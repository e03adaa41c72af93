"""Runs a network in an engine when told to.

    python peer.py ENGINE MODEL.onnx THREADS BATCH INPUT OUTPUT

The raw outputs of the first picture of a batch go to OUTPUT. Then, for every line with a number on standard input, so many
runs, whose times in milliseconds are printed as a JSON array.
"""

import json
import sys
import time

import numpy as np


def onnxruntime(model, threads, pictures):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {session.get_inputs()[0].name: pictures})


def openvino(model, threads, pictures, precision="f32", quantize=False):
    import openvino as ov

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": 1}
    core = ov.Core()
    network = core.read_model(model)
    network.reshape(list(pictures.shape))
    if quantize:
        import nncf

        nncf.set_log_level(40)
        network = nncf.quantize(network, nncf.Dataset([pictures]), subset_size=1, preset=nncf.QuantizationPreset.MIXED)
    compiled = core.compile_model(network, "CPU", settings)
    request = compiled.create_infer_request()

    def run():
        outputs = request.infer({0: pictures})
        return [outputs[index] for index in range(len(compiled.outputs))]

    return run


def openvino_bf16(model, threads, pictures):
    return openvino(model, threads, pictures, "bf16")


def openvino_int8(model, threads, pictures):
    return openvino(model, threads, pictures, quantize=True)


def opencv(model, threads, pictures):
    import cv2

    cv2.setNumThreads(threads)
    network = cv2.dnn.readNetFromONNX(model)
    network.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    names = network.getUnconnectedOutLayersNames()

    def run():
        network.setInput(pictures)
        return network.forward(names)

    return run


def tract(model, threads, pictures):
    import tract as engine

    if threads != 1:
        raise ValueError("tract's package for Python runs on one thread only")
    network = engine.onnx().load(model)
    network.set_input_fact(0, ",".join(map(str, [*pictures.shape, "f32"])))
    network.analyse()
    runnable = network.into_model().into_runnable()
    return lambda: [output.into_numpy() for output in runnable.run([pictures])]


def pytorch(model, threads, pictures, double=False):
    import onnx
    import torch
    import torch.nn.functional as F
    from onnx import numpy_helper

    torch.set_num_threads(threads)
    graph = onnx.load(model).graph
    kind_of_value = torch.float64 if double else torch.float32
    tensors = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()).to(kind_of_value)
        for tensor in graph.initializer
    }
    outputs = [output.name for output in graph.output]
    pictures = torch.from_numpy(pictures).to(kind_of_value)

    def attributes(node):
        return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}

    nodes = [(node.op_type, list(node.input), node.output[0], attributes(node)) for node in graph.node]

    def run():
        values = {graph.input[0].name: pictures}
        with torch.inference_mode():
            for kind, inputs, output, settings in nodes:
                source = values[inputs[0]]
                if kind == "Conv":
                    top, left, bottom, right = settings["pads"]
                    if (top, left) == (bottom, right):
                        padding = (top, left)
                    else:
                        source, padding = F.pad(source, (left, right, top, bottom)), 0
                    value = F.conv2d(source, tensors[inputs[1]], tensors[inputs[2]], settings["strides"], padding)
                elif kind == "Add":
                    value = source + values[inputs[1]]
                elif kind == "MaxPool":
                    value = F.max_pool2d(F.pad(source, (0, 1, 0, 1), value=float("-inf")), 3, 2)
                elif kind == "Resize":
                    value = F.interpolate(source, scale_factor=2, mode="nearest")
                elif kind == "Concat":
                    value = torch.cat([values[name] for name in inputs], 1)
                elif kind == "LeakyRelu":
                    value = F.leaky_relu(source, settings["alpha"])
                elif kind == "Relu":
                    value = F.relu(source)
                else:
                    raise ValueError(f"the operation {kind} is not known")
                values[output] = value
        return [values[name].numpy() for name in outputs]

    return run


def pytorch_f64(model, threads, pictures):
    return pytorch(model, threads, pictures, double=True)


ENGINES = {
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "openvino-bf16": openvino_bf16,
    "openvino-int8": openvino_int8,
    "opencv": opencv,
    "pytorch": pytorch,
    "pytorch-f64": pytorch_f64,
    "tract": tract,
}


def main():
    engine, model, threads, batch, source, target = sys.argv[1:]
    shape = None
    import onnx

    value = onnx.load(model, load_external_data=False).graph.input[0].type.tensor_type.shape
    shape = [dimension.dim_value for dimension in value.dim][1:]
    picture = np.fromfile(source, np.float32).reshape(1, *shape)
    pictures = np.ascontiguousarray(np.repeat(picture, int(batch), axis=0))
    run = ENGINES[engine](model, int(threads), pictures)
    outputs = [np.asarray(output)[0] for output in run()]
    # OpenCV gives its outputs in an order of its own: the finest first, as everybody else does.
    outputs.sort(key=lambda output: -output.shape[-1])
    with open(target, "wb") as file:
        for output in outputs:
            file.write(np.ascontiguousarray(output, np.float32).tobytes())
    print("ready", flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            run()
            times.append(round((time.perf_counter() - begin) * 1e3, 3))
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
