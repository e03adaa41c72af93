"""Writes a trained network as Sluice's model file: safetensors with the decoder's constants in the metadata.

Batch norms are folded into the convolutions here, in f64: each convolution leaves as `<name>.weight` (OIHW, f16) and
`<name>.bias` (f32). Only ResNet18's three shortcut convolutions have no bias.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .networks import Conv, Yolo, build

FORMAT = "sluice-detector"
FORMAT_VERSION = "1"

Anchors = list[list[list[float]]]


@dataclass
class ModelCard:
    """What a detector must know besides its weights. Sizes and anchors are in pixels of the network's input."""

    name: str
    classes: list[str]
    input: tuple[int, int]
    """Height, width."""
    anchors: Anchors
    """[stride 8, 16, 32][three anchors][width, height]."""
    score_threshold: float = 0.3
    iou_threshold: float = 0.4
    max_boxes: int = 50

    def metadata(self, network: Yolo) -> dict[str, str]:
        """The `__metadata__` of the model file; every value is a string."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "family": network.family,
            "width": repr(network.width),
            "classes": json.dumps(self.classes),
            "input": json.dumps(list(self.input)),
            "anchors": json.dumps(self.anchors),
            "score_threshold": repr(self.score_threshold),
            "iou_threshold": repr(self.iou_threshold),
            "max_boxes": str(self.max_boxes),
        }


def folded(network: Yolo) -> dict[str, Tensor]:
    """Convolution weights and biases (f32) with the batch norms multiplied in."""
    tensors = {}
    for name, conv in network.named_modules():
        if not isinstance(conv, nn.Conv2d):
            continue
        weight, bias = conv.weight.detach().double(), conv.bias
        if isinstance(conv, Conv):
            bn = conv.bn
            scale = bn.weight.detach().double() / torch.sqrt(bn.running_var.double() + bn.eps)
            weight = weight * scale.view(-1, 1, 1, 1)
            bias = bn.bias.detach().double() - bn.running_mean.double() * scale
        tensors[f"{name}.weight"] = weight.float()
        if bias is not None:
            tensors[f"{name}.bias"] = bias.detach().float()
    return tensors


def unfolded(network: Yolo) -> dict[str, Tensor]:
    """Convolution weights with their batch norms beside them, under the file format's names (f32)."""
    norms = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "variance"}
    tensors = {}
    for name, value in network.state_dict().items():
        owner, _, leaf = name.rpartition(".")
        if leaf == "num_batches_tracked":
            continue
        tensors[f"{owner}.{norms[leaf]}" if owner.endswith(".bn") else name] = value.detach().clone()
    return tensors


def half_weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convolution weights as f16, contiguous; all else stays f32. A weight beyond f16's range is an error."""
    halved = {}
    for name, value in tensors.items():
        if value.dim() == 4:
            value = value.half()
        if not torch.isfinite(value).all():
            raise ValueError(f"{name}: a value is not finite after conversion to {value.dtype}; train again with weight decay")
        halved[name] = value.contiguous()
    return halved


def export(network: Yolo, card: ModelCard, path: Path) -> None:
    """Writes the model file, folded and in half precision. The file appears whole or not at all."""
    part = path.with_suffix(".part")
    save_file(half_weights(folded(network)), part, metadata=card.metadata(network))
    part.chmod(0o644)
    part.replace(path)


def deploy(path: Path, size: tuple[int, int], score_threshold: float) -> None:
    """Has the model in a file work on another input size (height, width; a convolutional network runs at any) and report
    boxes from another score on."""
    network, card = load(path)
    export(network, replace(card, input=size, score_threshold=score_threshold), path)


def load(path: Path) -> tuple[Yolo, ModelCard]:
    """Reads an exported file back as a network (f32, evaluation mode): its norms are identities that carry the biases."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}
    if metadata.get("format") != FORMAT or metadata.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{path}: not a {FORMAT} file of version {FORMAT_VERSION}")
    classes = json.loads(metadata["classes"])
    network = build(metadata["family"], float(metadata["width"]), len(classes)).eval()
    for name, conv in network.named_modules():
        if not isinstance(conv, nn.Conv2d):
            continue
        conv.weight.data.copy_(tensors.pop(f"{name}.weight"))
        if isinstance(conv, Conv):
            conv.bn.running_var.fill_(1 - conv.bn.eps)
            conv.bn.bias.data.copy_(tensors.pop(f"{name}.bias"))
        elif conv.bias is not None:
            conv.bias.data.copy_(tensors.pop(f"{name}.bias"))
    if tensors:
        raise ValueError(f"{path}: unexpected tensors {sorted(tensors)}")
    card = ModelCard(
        metadata["name"],
        classes,
        tuple(json.loads(metadata["input"])),
        json.loads(metadata["anchors"]),
        float(metadata["score_threshold"]),
        float(metadata["iou_threshold"]),
        int(metadata["max_boxes"]),
    )
    return network, card
