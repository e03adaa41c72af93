"""Boxes as the decoder makes them: the grid of all predictions, their decoding, and overlaps."""

import math

import torch
from torch import Tensor

from .networks import STRIDES

Anchors = list[list[list[float]]]


class Grid:
    """Cells and anchors of all predictions of one input size, in the order in which `flatten` lays heads out:
    stride 8, 16, 32; within a stride anchor by anchor, row by row."""

    def __init__(self, height: int, width: int, anchors: Anchors, device: torch.device | str = "cpu"):
        cells, sides, steps, self.offsets = [], [], [], []
        total = 0
        for stride, three in zip(STRIDES, anchors):
            rows, columns = height // stride, width // stride
            y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
            cells.append(torch.stack([x, y], -1).view(1, -1, 2).expand(3, -1, 2).reshape(-1, 2).float())
            sides.append(torch.tensor(three).view(3, 1, 2).expand(3, rows * columns, 2).reshape(-1, 2))
            steps.append(torch.full((3 * rows * columns, 1), float(stride)))
            self.offsets.append((total, rows, columns))
            total += 3 * rows * columns
        self.total = total
        self.anchors = torch.tensor(anchors, dtype=torch.float32).view(9, 2)
        self.cells, self.sides, self.steps = (torch.cat(part).to(device) for part in (cells, sides, steps))

    def decode(self, raw: Tensor, index: Tensor | None = None) -> Tensor:
        """Corner boxes in input pixels of raw predictions [..., >= 4]: all of them, or those at `index` [m] of [m, >= 4]."""
        cells, sides, steps = self.cells, self.sides, self.steps
        if index is not None:
            cells, sides, steps = cells[index], sides[index], steps[index]
        centre = (raw[..., 0:2].sigmoid() + cells) * steps
        half = raw[..., 2:4].clamp(max=8).exp() * sides / 2
        return torch.cat([centre - half, centre + half], -1)


def flatten(heads: dict[int, Tensor], classes: int) -> Tensor:
    """Raw heads to [N, predictions, 5 + classes] in `Grid`'s order, in f32."""
    parts = []
    for stride in STRIDES:
        n, _, h, w = heads[stride].shape
        parts.append(heads[stride].view(n, 3, 5 + classes, h, w).permute(0, 1, 3, 4, 2).reshape(n, 3 * h * w, 5 + classes))
    return torch.cat(parts, 1).float()


def area(boxes: Tensor) -> Tensor:
    """Areas of corner boxes [..., 4]."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """Common areas of all pairs of [n, 4] and [m, 4]: [n, m]."""
    low = torch.maximum(a[:, None, :2], b[None, :, :2])
    high = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    return (high - low).clamp(min=0).prod(-1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of all pairs: [n, m]."""
    common = intersection(a, b)
    return common / (area(a)[:, None] + area(b)[None] - common).clamp(min=1e-9)


def complete_iou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Pairwise-aligned IoU and CIoU (Zheng et al. 2020, arXiv 1911.08287) of [n, 4] and [n, 4]: both [n]."""
    common = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    overlap = common / (area(a) + area(b) - common).clamp(min=1e-9)
    hull = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    distance = ((a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) ** 2).sum(1) / 4
    (wa, ha), (wb, hb) = (a[:, 2:] - a[:, :2]).unbind(1), (b[:, 2:] - b[:, :2]).unbind(1)
    shape = (4 / math.pi**2) * (torch.atan(wb / hb) - torch.atan(wa / ha)) ** 2
    with torch.no_grad():
        weight = shape / (1 - overlap + shape).clamp(min=1e-9)
    return overlap, overlap - distance / (hull**2).sum(1).clamp(min=1e-9) - weight * shape
