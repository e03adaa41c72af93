"""The two network families, YOLOv3-ResNet18 and YOLOv3-Darknet53.

Both take RGB pictures as float tensors [N, 3, H, W] in 0..1 with H and W multiples of 32, and return the three raw
heads `{8: t, 16: t, 32: t}`, each [N, 3 * (5 + classes), H / stride, W / stride] with channels ordered anchor by anchor
as (x, y, w, h, objectness, class 0, class 1, ...), all before any sigmoid or exponential.

Module names are the tensor names of the exported file: `conv3_1.shortcut.weight` is a module path here too.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)


def scaled(channels: int, width: float) -> int:
    """Channel count under the width multiplier: a multiple of 8, at least 8."""
    return max(8, 8 * math.ceil(channels * width / 8))


class Activation(NamedTuple):
    """What follows each convolution in a family: the norm's epsilon and the slope left of zero (0 is ReLU)."""

    epsilon: float
    slope: float


class Conv(nn.Conv2d):
    """Convolution, batch norm and activation. Padding is (k - 1) // 2 on the top and left, the rest below and right."""

    def __init__(self, inputs: int, outputs: int, size: int, activation: Activation, stride: int = 1, linear: bool = False):
        super().__init__(inputs, outputs, size, stride, size // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=activation.epsilon, momentum=0.03)
        self.slope = 1.0 if linear else activation.slope
        nn.init.kaiming_normal_(self.weight, a=activation.slope, nonlinearity="leaky_relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(super().forward(x))
        if self.slope == 1.0:
            return x
        return F.relu(x, inplace=True) if self.slope == 0.0 else F.leaky_relu(x, self.slope, inplace=True)


class BasicBlock(nn.Module):
    """ResNet18's block: two 3x3 convolutions round an identity, or round a 1x1 stride-2 shortcut without norm."""

    def __init__(self, inputs: int, outputs: int, stride: int, activation: Activation):
        super().__init__()
        self.conv1 = Conv(inputs, outputs, 3, activation, stride)
        self.conv2 = Conv(outputs, outputs, 3, activation, linear=True)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        # Every second pixel and a 1x1 of stride 1 is a 1x1 of stride 2, whose bfloat16 gradient on a CPU
        # corrupts the heap at 8 channels (torch 2.15, oneDNN).
        side = x if self.shortcut is None else self.shortcut(x[:, :, ::2, ::2])
        return F.relu(self.conv2(self.conv1(x)) + side, inplace=True)


class Residual(nn.Module):
    """Darknet53's block: 1x1 to half the channels, 3x3 back, identity added after the activation."""

    def __init__(self, channels: int, half: int, activation: Activation):
        super().__init__()
        self.conv1 = Conv(channels, half, 1, activation)
        self.conv2 = Conv(half, channels, 3, activation)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x))


class DarknetStage(nn.Module):
    """A stride-2 convolution and its residual blocks, named `block1`, `block2`, ..."""

    def __init__(self, inputs: int, channels: int, half: int, blocks: int, activation: Activation):
        super().__init__()
        self.down = Conv(inputs, channels, 3, activation, 2)
        self.names = [f"block{j}" for j in range(1, blocks + 1)]
        for name in self.names:
            self.add_module(name, Residual(channels, half, activation))

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        for name in self.names:
            x = getattr(self, name)(x)
        return x


class Head(nn.Module):
    """One detection head: five alternating 1x1 and 3x3 convolutions (the route), a 3x3, and the 1x1 output.

    `lateral`, where there is a finer head, narrows the route and doubles its resolution for that head.
    """

    def __init__(self, inputs: int, channels: int, double: int, lateral: int | None, outputs: int, activation: Activation):
        super().__init__()
        for i in range(1, 7):
            odd = i % 2 == 1
            fan_in = inputs if i == 1 else double if odd else channels
            self.add_module(f"conv{i}", Conv(fan_in, channels if odd else double, 1 if odd else 3, activation))
        self.output = nn.Conv2d(double, outputs, 1)
        self.lateral = None if lateral is None else Conv(channels, lateral, 1, activation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        for i in range(1, 6):
            x = getattr(self, f"conv{i}")(x)
        finer = None if self.lateral is None else F.interpolate(self.lateral(x), scale_factor=2, mode="nearest")
        return self.output(self.conv6(x)), finer


class Yolo(nn.Module):
    """What the families share: the three heads, fed coarse to fine, and the options that an exported file carries."""

    family: str
    activation: Activation
    head_channels: tuple[int, int, int]
    """Unscaled head width f at strides 8, 16 and 32."""

    def __init__(self, width: float, classes: int):
        super().__init__()
        self.width = width
        self.classes = classes

    def add_heads(self, routes: tuple[int, int, int]) -> None:
        """Adds the heads to a backbone whose strides 8, 16 and 32 have these channel counts."""
        carried = 0
        for stride, inputs, f in reversed(list(zip(STRIDES, routes, self.head_channels))):
            lateral = scaled(f // 2, self.width) if stride > STRIDES[0] else None
            outputs = 3 * (5 + self.classes)
            head = Head(carried + inputs, scaled(f, self.width), scaled(2 * f, self.width), lateral, outputs, self.activation)
            self.add_module(f"head{stride}", head)
            carried = lateral or 0
        self.reset_outputs()

    def reset_outputs(self, prior: float = 0.01) -> None:
        """Starts the outputs near zero, with an objectness and class score of `prior` and 0.25."""
        for stride in STRIDES:
            output = getattr(self, f"head{stride}").output
            nn.init.normal_(output.weight, std=0.01)
            bias = output.bias.detach().view(3, 5 + self.classes)
            bias.zero_()
            bias[:, 4] = math.log(prior / (1 - prior))
            bias[:, 5:] = math.log(0.25 / 0.75)

    def backbone(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Feature maps at strides 8, 16 and 32."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        outputs, carried = {}, None
        for stride, route in reversed(list(zip(STRIDES, self.backbone(x)))):
            joined = route if carried is None else torch.cat([carried, route], 1)
            outputs[stride], carried = getattr(self, f"head{stride}")(joined)
        return outputs


class YoloResnet18(Yolo):
    """ReLU everywhere, heads half as wide as Darknet's."""

    family = "yolov3-resnet18"
    activation = Activation(epsilon=1e-5, slope=0.0)
    head_channels = (64, 128, 256)

    def __init__(self, width: float = 1.0, classes: int = 4):
        super().__init__(width, classes)
        inputs = scaled(64, width)
        self.conv1 = Conv(3, inputs, 7, self.activation, 2)
        for stage, channels in ((2, 64), (3, 128), (4, 256), (5, 512)):
            outputs = scaled(channels, width)
            self.add_module(f"conv{stage}_1", BasicBlock(inputs, outputs, 1 if stage == 2 else 2, self.activation))
            self.add_module(f"conv{stage}_2", BasicBlock(outputs, outputs, 1, self.activation))
            inputs = outputs
        self.add_heads((scaled(128, width), scaled(256, width), scaled(512, width)))

    def backbone(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # `ceil_mode` pads an even input on the bottom and the right only, as TensorFlow's SAME does.
        x = F.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True)
        x = self.conv2_2(self.conv2_1(x))
        x8 = self.conv3_2(self.conv3_1(x))
        x16 = self.conv4_2(self.conv4_1(x8))
        return x8, x16, self.conv5_2(self.conv5_1(x16))


class YoloDarknet53(Yolo):
    """Leaky ReLU with slope 0.1, 23 residual blocks."""

    family = "yolov3-darknet53"
    activation = Activation(epsilon=1e-3, slope=0.1)
    head_channels = (128, 256, 512)
    blocks = (1, 2, 8, 8, 4)

    def __init__(self, width: float = 1.0, classes: int = 4):
        super().__init__(width, classes)
        inputs = scaled(32, width)
        self.conv0 = Conv(3, inputs, 3, self.activation)
        for i, blocks in enumerate(self.blocks, 1):
            channels, half = scaled(32 << i, width), scaled(16 << i, width)
            self.add_module(f"stage{i}", DarknetStage(inputs, channels, half, blocks, self.activation))
            inputs = channels
        self.add_heads((scaled(256, width), scaled(512, width), scaled(1024, width)))

    def backbone(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x8 = self.stage3(self.stage2(self.stage1(self.conv0(x))))
        x16 = self.stage4(x8)
        return x8, x16, self.stage5(x16)


FAMILIES: dict[str, type[Yolo]] = {network.family: network for network in (YoloResnet18, YoloDarknet53)}


def build(family: str, width: float, classes: int) -> Yolo:
    """A fresh network of the named family."""
    return FAMILIES[family](width, classes)
