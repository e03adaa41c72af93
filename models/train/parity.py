"""Writes the fixtures against which another implementation of the networks is tested.

Each is a model file of a tiny random network (norms not folded, weights f16, norms f32) that carries, besides,
`fixture.input` [1, 3, H, W] and the heads that PyTorch computes from it in f32: `fixture.head8`, `.head16`, `.head32`.

    python -m train.parity --out fixtures
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from .export import ModelCard, half_weights, unfolded
from .networks import STRIDES, Yolo, YoloDarknet53, YoloResnet18

CLASSES = ["person", "helmet", "helmet_on", "helmet_off"]
ANCHORS = [[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]]]


def randomise(network: Yolo, size: tuple[int, int]) -> None:
    """Gives every norm statistics of its own, near those of real activations so that no layer dies or overflows."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.6, 1.4)
        nn.init.normal_(norm.bias, std=0.2)
        norm.momentum = None
    network.train()
    for _ in range(4):
        network(torch.rand(4, 3, *size))
    for norm in norms:
        norm.running_mean.add_(0.1 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean))
        norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.8, 1.25))
    for stride in STRIDES:
        output = getattr(network, f"head{stride}").output
        nn.init.normal_(output.weight, std=0.2)
        nn.init.normal_(output.bias)


def write_fixture(network: Yolo, size: tuple[int, int], path: Path) -> None:
    """Randomises the network and writes it with an input of `size` (height, width) and its three heads."""
    randomise(network, size)
    tensors = half_weights(unfolded(network))
    for name, parameter in network.named_parameters():
        if parameter.dim() == 4:
            parameter.data.copy_(tensors[name])
    # Multiples of 1/256 are exact in f16, so that the stored input is the one that was run.
    picture = torch.randint(0, 257, (1, 3, *size)).float() / 256
    with torch.no_grad():
        heads = network.eval()(picture)
    tensors["fixture.input"] = picture.half()
    tensors |= {f"fixture.head{stride}": head.contiguous() for stride, head in heads.items()}
    card = ModelCard(path.stem, CLASSES, size, ANCHORS)
    save_file(tensors, path, metadata=card.metadata(network))
    spread = ", ".join(f"{stride}: {head.std():.2f}" for stride, head in heads.items())
    print(f"{path}: {path.stat().st_size} bytes, standard deviation of the heads {spread}")


def main() -> None:
    parser = argparse.ArgumentParser(description="write the parity fixtures")
    parser.add_argument("--out", type=Path, default=Path("fixtures"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(20240229)
    write_fixture(YoloResnet18(0.0625), (96, 160), out / "yolov3-resnet18.safetensors")
    write_fixture(YoloDarknet53(0.03125), (96, 96), out / "yolov3-darknet53.safetensors")


if __name__ == "__main__":
    main()
