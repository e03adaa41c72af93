"""The training loss: which prediction answers for which object, and what it is told.

Each object is answered for in the cell that holds its centre, by its best anchor and by every other anchor whose sides
are within a factor of `RATIO`; two objects never share a prediction. The terms are CIoU for boxes, binary cross
entropy for objectness and for each class. Elsewhere objectness is pushed to zero, but not where a prediction overlaps
an object well already, nor over ignored objects.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .boxes import Grid, area, complete_iou, intersection, iou
from .data import Batch

RATIO = 2.5
IGNORE_OVERLAP = 0.5
BOX_WEIGHT = 4.0
OVERLAP_SHARE = 0.4
"""How much of the objectness target is the predicted box's own IoU; the rest is 1."""
CANDIDATE_LOGIT = -3.0
"""Predictions below this objectness are not worth testing for overlap: their gradient is below 0.05 anyway."""


def assign(batch: Batch, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Object numbers and their predictions: [m] indices into the batch's objects, [m] into `picture * total + prediction`.

    Ignored objects are assigned too; the caller tells them apart.
    """
    boxes = batch.boxes.numpy()
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.1)
    centres = (boxes[:, 2:] + boxes[:, :2]) / 2
    anchors = grid.anchors.numpy()
    common = np.minimum(sides[:, None], anchors).prod(2)
    overlap = common / (sides.prod(1)[:, None] + anchors.prod(1) - common)
    ratio = np.maximum(sides[:, None] / anchors, anchors / sides[:, None]).max(2)
    ranks = np.argsort(-overlap, 1)
    places = np.empty((len(boxes), 9), np.int64)
    for scale, (offset, rows, columns) in enumerate(grid.offsets):
        stride = 8 << scale
        cell = (centres / stride).astype(np.int64).clip(0, [columns - 1, rows - 1])
        for anchor in range(3):
            place = offset + anchor * rows * columns + cell[:, 1] * columns + cell[:, 0]
            places[:, 3 * scale + anchor] = batch.picture.numpy() * grid.total + place
    objects = np.arange(len(boxes))
    owners: dict[int, int] = {}

    def claim(rank: int, who: np.ndarray) -> np.ndarray:
        """Lets the objects `who` take their anchor of that rank where it is free, best overlap first; returns the losers."""
        chosen = ranks[who, rank]
        lost = []
        for i in np.argsort(-overlap[who, chosen]):
            if owners.setdefault(int(places[who[i], chosen[i]]), int(who[i])) != who[i]:
                lost.append(who[i])
        return np.array(lost, np.int64)

    homeless = claim(0, objects)
    for rank in (1, 2):
        if len(homeless):
            homeless = claim(rank, homeless)
    for rank in range(1, 4):
        claim(rank, objects[ratio[objects, ranks[:, rank]] < RATIO])
    return np.fromiter(owners.values(), np.int64, len(owners)), np.fromiter(owners.keys(), np.int64, len(owners))


def ignore_mask(raw: Tensor, grid: Grid, batch: Batch) -> Tensor:
    """[N, predictions], true where a prediction overlaps an object well, or lies within an ignored one."""
    mask = torch.zeros(raw.shape[:2], dtype=torch.bool, device=raw.device)
    boxes, picture, ignored = (part.to(raw.device) for part in (batch.boxes, batch.picture, batch.ignored))
    for n in range(raw.shape[0]):
        truth, crowd = boxes[picture == n], ignored[picture == n]
        if len(truth) == 0:
            continue
        candidates = (raw[n, :, 4] > CANDIDATE_LOGIT).nonzero().squeeze(1)
        predicted = grid.decode(raw[n, candidates], candidates)
        hit = (iou(predicted, truth) > IGNORE_OVERLAP).any(1)
        if crowd.any():
            within = intersection(predicted, truth[crowd]) / area(predicted).clamp(min=1e-9)[:, None]
            hit |= (within > IGNORE_OVERLAP).any(1)
        mask[n, candidates] = hit
    return mask


def detection_loss(raw: Tensor, grid: Grid, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """The loss of flattened predictions [N, predictions, 5 + classes], per assigned prediction, and its parts."""
    device = raw.device
    with torch.no_grad():
        ignore = ignore_mask(raw, grid, batch)
    owner, place = assign(batch, grid)
    crowd = batch.ignored.numpy()[owner]
    ignore.view(-1)[torch.from_numpy(place[crowd]).to(device)] = True
    owner, place = torch.from_numpy(owner[~crowd]), torch.from_numpy(place[~crowd]).to(device)
    count = max(1, len(place))

    assigned = raw.view(-1, raw.shape[2])[place]
    predicted = grid.decode(assigned, place % grid.total)
    overlap, complete = complete_iou(predicted, batch.boxes[owner].to(device))
    box = (1 - complete).sum() / count

    target = torch.zeros(raw.shape[:2], device=device)
    target.view(-1)[place] = 1 - OVERLAP_SHARE + OVERLAP_SHARE * overlap.detach().clamp(0, 1)
    ignore.view(-1)[place] = False
    objectness = F.binary_cross_entropy_with_logits(raw[..., 4], target, reduction="none")
    objectness = objectness.masked_fill(ignore, 0).sum() / count

    labels = F.one_hot(batch.labels[owner].to(device), raw.shape[2] - 5).float()
    category = F.binary_cross_entropy_with_logits(assigned[:, 5:], labels, reduction="sum") / count

    parts = {"box": box.item(), "object": objectness.item(), "class": category.item(), "overlap": overlap.mean().item()}
    return BOX_WEIGHT * box + objectness + category, parts
