"""Writes networks with random weights: NAME.safetensors for Sluice, NAME.onnx for everybody else, NAME.json with
the layers in order, and NAME.input, a random picture as little-endian f32 in the order channel, row, column.

    python networks.py DIRECTORY NAME...
"""

import json
import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LEAKY_SLOPE = 0.1
ANCHORS = [[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]]]


class Network:
    """Layers, each reading earlier ones by their number; 0 is the picture."""

    def __init__(self, height, width):
        self.layers = []
        self.shapes = [(3, height, width)]
        self.tensors = {}
        self.flops = 0
        self.random = np.random.default_rng(0)

    def push(self, shape, **layer):
        self.layers.append(layer)
        self.shapes.append(shape)
        return len(self.layers)

    def conv(self, name, source, channels, kernel, stride=1, activation=None, gain=1.0):
        inputs, height, width = self.shapes[source]
        rows, columns = -(-height // stride), -(-width // stride)
        before = (kernel - 1) // 2
        needed = [(rows - 1) * stride + kernel - before, (columns - 1) * stride + kernel - before]
        after = [max(0, needed[0] - height), max(0, needed[1] - width)]
        # Keeps the values' size through the layers (He et al., 2015), so that errors are seen in proportion.
        spread = np.float32(gain * np.sqrt(2 / (inputs * kernel * kernel)))
        weight = self.random.standard_normal((channels, inputs, kernel, kernel), dtype=np.float32) * spread
        self.tensors[f"{name}.weight"] = weight
        self.tensors[f"{name}.bias"] = self.random.standard_normal(channels, dtype=np.float32) * np.float32(0.1)
        flops = 2 * channels * inputs * kernel * kernel * rows * columns
        self.flops += flops
        return self.push(
            (channels, rows, columns), op="conv", inputs=[source], name=name, kernel=kernel, stride=stride,
            pads=[before, before, *after], activation=activation, flops=flops,
        )

    def add(self, source, other, activation=None):
        return self.push(self.shapes[source], op="add", inputs=[source, other], activation=activation)

    def max_pool(self, source):
        channels, height, width = self.shapes[source]
        return self.push((channels, height // 2, width // 2), op="max_pool", inputs=[source], activation=None)

    def upsample(self, source):
        channels, height, width = self.shapes[source]
        return self.push((channels, 2 * height, 2 * width), op="upsample", inputs=[source], activation=None)

    def concat(self, source, other):
        channels = self.shapes[source][0] + self.shapes[other][0]
        shape = (channels, *self.shapes[source][1:])
        return self.push(shape, op="concat", inputs=[source, other], activation=None)

    def heads(self, features, widths, outputs, activation):
        """Heads from coarse to fine; their outputs from fine to coarse."""
        found, route = [], None
        for stride, source, width in zip((32, 16, 8), features, widths):
            if route is not None:
                lateral = self.conv(f"head{2 * stride}.lateral", route, width, 1, activation=activation)
                source = self.concat(self.upsample(lateral), source)
            for index in range(1, 6):
                channels, kernel = (width, 1) if index % 2 else (2 * width, 3)
                source = self.conv(f"head{stride}.conv{index}", source, channels, kernel, activation=activation)
            route = source
            last = self.conv(f"head{stride}.conv6", route, 2 * width, 3, activation=activation)
            found.append(self.conv(f"head{stride}.output", last, outputs, 1, gain=0.5))
        self.outputs = found[::-1]


def darknet53(height, width, classes, part):
    """Every layer but the last has 1 / `part` of the original's channels."""
    network = Network(height, width)
    source, features = network.conv("conv0", 0, 32 // part, 3, activation="leaky"), []
    for stage, (channels, blocks) in enumerate([(64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)], 1):
        channels //= part
        source = network.conv(f"stage{stage}.down", source, channels, 3, 2, "leaky")
        for block in range(1, blocks + 1):
            name = f"stage{stage}.block{block}"
            inner = network.conv(f"{name}.conv1", source, channels // 2, 1, activation="leaky")
            inner = network.conv(f"{name}.conv2", inner, channels, 3, activation="leaky", gain=0.35)
            source = network.add(inner, source)
        features.append(source)
    network.heads(features[:1:-1], (512 // part, 256 // part, 128 // part), 3 * (5 + classes), "leaky")
    return network


def resnet18(height, width, classes, part):
    """Every layer but the last has 1 / `part` of the original's channels."""
    network = Network(height, width)
    source = network.max_pool(network.conv("conv1", 0, 64 // part, 7, 2, "relu"))
    features = []
    for stage, channels in enumerate((64, 128, 256, 512), 2):
        channels //= part
        for block in (1, 2):
            stride = 2 if stage > 2 and block == 1 else 1
            name = f"conv{stage}_{block}"
            inner = network.conv(f"{name}.conv1", source, channels, 3, stride, "relu")
            fitted = source if stride == 1 else network.conv(f"{name}.shortcut", source, channels, 1, 2)
            inner = network.conv(f"{name}.conv2", inner, channels, 3, gain=0.5)
            source = network.add(inner, fitted, "relu")
        features.append(source)
    network.heads(features[:0:-1], (256 // part, 128 // part, 64 // part), 3 * (5 + classes), "relu")
    return network


NETWORKS = {
    "darknet53": ("yolov3-darknet53", darknet53, (544, 544), 80, 1),
    "resnet18": ("yolov3-resnet18", resnet18, (416, 736), 2, 1),
    "demo-big": ("yolov3-darknet53", darknet53, (416, 736), 4, 4),
    "demo-little": ("yolov3-resnet18", resnet18, (416, 736), 4, 4),
}


def write_safetensors(path, network, family, classes, part):
    metadata = {
        "format": "sluice-detector", "format_version": "1", "name": path.stem, "family": family, "width": str(1 / part),
        "classes": json.dumps([f"class{index}" for index in range(classes)]),
        "input": json.dumps(network.shapes[0][1:]), "anchors": json.dumps(ANCHORS),
        "score_threshold": "0.3", "iou_threshold": "0.4", "max_boxes": "20",
    }
    header, offset = {"__metadata__": metadata}, 0
    for name, tensor in network.tensors.items():
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
    header = json.dumps(header).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for tensor in network.tensors.values():
            file.write(tensor.tobytes())


def write_onnx(path, network):
    tensors = [numpy_helper.from_array(tensor, name) for name, tensor in network.tensors.items()]
    tensors.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"))
    nodes = []
    for number, layer in enumerate(network.layers, 1):
        inputs, output = [f"t{source}" for source in layer["inputs"]], f"t{number}"
        sums = output + "_sums" if layer["activation"] else output
        if layer["op"] == "conv":
            inputs += [f"{layer['name']}.weight", f"{layer['name']}.bias"]
            kernel, stride = [layer["kernel"]] * 2, [layer["stride"]] * 2
            nodes.append(helper.make_node(
                "Conv", inputs, [sums], kernel_shape=kernel, strides=stride, pads=layer["pads"]))
        elif layer["op"] == "add":
            nodes.append(helper.make_node("Add", inputs, [sums]))
        elif layer["op"] == "max_pool":
            nodes.append(helper.make_node(
                "MaxPool", inputs, [sums], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]))
        elif layer["op"] == "upsample":
            nodes.append(helper.make_node(
                "Resize", [inputs[0], "", "twice"], [sums], mode="nearest",
                coordinate_transformation_mode="asymmetric", nearest_mode="floor"))
        else:
            nodes.append(helper.make_node("Concat", inputs, [sums], axis=1))
        if layer["activation"] == "leaky":
            nodes.append(helper.make_node("LeakyRelu", [sums], [output], alpha=LEAKY_SLOPE))
        elif layer["activation"] == "relu":
            nodes.append(helper.make_node("Relu", [sums], [output]))
    value = lambda number: helper.make_tensor_value_info(
        f"t{number}", TensorProto.FLOAT, ["batch", *network.shapes[number]])
    graph = helper.make_graph(nodes, path.stem, [value(0)], [value(output) for output in network.outputs], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def main():
    directory = Path(sys.argv[1])
    for name in sys.argv[2:]:
        family, build, (height, width), classes, part = NETWORKS[name]
        network = build(height, width, classes, part)
        write_safetensors(directory / f"{name}.safetensors", network, family, classes, part)
        write_onnx(directory / f"{name}.onnx", network)
        picture = np.random.default_rng(7).random((3, height, width), dtype=np.float32)
        picture.tofile(directory / f"{name}.input")
        # The same picture in whole numbers, for what is calibrated with picture files.
        pictures = directory / f"{name}.pictures"
        pictures.mkdir(exist_ok=True)
        whole = np.round(picture * 255).astype(np.uint8)
        cv2.imwrite(str(pictures / "picture.png"), whole.transpose(1, 2, 0)[:, :, ::-1])
        description = {"flops": network.flops, "outputs": network.outputs, "layers": network.layers}
        (directory / f"{name}.json").write_text(json.dumps(description))


if __name__ == "__main__":
    main()
