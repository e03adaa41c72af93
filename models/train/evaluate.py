"""Average precision through the deployed path: letterbox, raw heads, thresholds, non-maximum suppression.

    python -m train.evaluate --model demo-big.safetensors --data DIR
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .boxes import Grid, flatten, iou
from .data import Sample, data_sets, letterbox, read_truth
from .export import ModelCard, load
from .networks import Yolo

MATCH = 0.5
RECALLS = np.linspace(0, 1, 101)


@dataclass
class Detections:
    """Of one picture: `boxes` [n, 4] in original pixels, `scores` [n], `labels` [n]; best score first within a class."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


class Detector:
    """A network with its constants, applied to pictures one by one."""

    def __init__(self, network: Yolo, card: ModelCard, device: str = "cpu"):
        self.network, self.card, self.device = network.eval(), card, device
        self.grid = Grid(*card.input, card.anchors, device)

    @torch.no_grad()
    def __call__(self, picture: np.ndarray, score_threshold: float) -> Detections:
        """Detections in a picture [h, w, 3] of bytes whose score exceeds the threshold."""
        pixels, scale, left, top = letterbox(picture, *self.card.input)
        pixels = pixels.to(self.device).contiguous(memory_format=torch.channels_last)
        raw = flatten(self.network(pixels), len(self.card.classes))[0]
        boxes = self.grid.decode(raw)
        scores = raw[:, 4:5].sigmoid() * raw[:, 5:].sigmoid()
        kept_boxes, kept_scores, kept_labels = [], [], []
        for label in range(scores.shape[1]):
            chosen = (scores[:, label] > score_threshold).nonzero().squeeze(1)
            chosen = chosen[scores[chosen, label].argsort(descending=True)][:1000]
            chosen = chosen[suppress(boxes[chosen], self.card.iou_threshold)][: self.card.max_boxes]
            kept_boxes.append(boxes[chosen])
            kept_scores.append(scores[chosen, label])
            kept_labels.append(torch.full((len(chosen),), label))
        moved = (torch.cat(kept_boxes).cpu() - torch.tensor([left, top, left, top])) / scale
        h, w = picture.shape[:2]
        moved[:, 0::2], moved[:, 1::2] = moved[:, 0::2].clamp(0, w), moved[:, 1::2].clamp(0, h)
        return Detections(moved.numpy(), torch.cat(kept_scores).cpu().numpy(), torch.cat(kept_labels).numpy())


def suppress(boxes: torch.Tensor, threshold: float) -> torch.Tensor:
    """Indices of the boxes that survive: each drops the later ones that overlap it by more than the threshold."""
    overlaps = (iou(boxes, boxes) > threshold).cpu().numpy()
    alive = np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        if alive[i]:
            alive[i + 1 :] &= ~overlaps[i, i + 1 :]
    return torch.from_numpy(alive.nonzero()[0])


def match(found: Detections, sample: Sample, label: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Scores and outcomes (1 hit, 0 false, -1 not scored) of one class in one picture, and its number of objects.

    COCO's rule: best score first, each takes the free object with the greatest IoU of at least 0.5; an ignored object
    absorbs any number of detections, its overlap being the share of the detection that it covers.
    """
    mine = found.labels == label
    order = np.argsort(-found.scores[mine], kind="stable")
    boxes, scores = found.boxes[mine][order], found.scores[mine][order]
    truth = sample.labels == label
    objects, crowd = sample.boxes[truth & ~sample.ignored], sample.boxes[truth & sample.ignored]
    low, high = np.maximum(boxes[:, None, :2], crowd[:, :2]), np.minimum(boxes[:, None, 2:], crowd[:, 2:])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    covered = ((high - low).clip(0).prod(2) / np.maximum(areas, 1e-9)[:, None] >= MATCH).any(1)
    overlaps = iou(torch.from_numpy(boxes), torch.from_numpy(objects)).numpy()
    free = np.ones(len(objects), bool)
    outcome = np.zeros(len(boxes), np.int64)
    for i in range(len(boxes)):
        candidates = np.where(free, overlaps[i], 0)
        best = candidates.argmax() if len(candidates) else 0
        if len(candidates) and candidates[best] >= MATCH:
            free[best], outcome[i] = False, 1
        elif covered[i]:
            outcome[i] = -1
    return scores, outcome, len(objects)


@dataclass
class ClassResult:
    """Average precision at IoU 0.5, and the threshold with the best F1."""

    objects: int
    average_precision: float
    best_threshold: float
    precision: float
    recall: float


def average_precision(scores: np.ndarray, outcomes: np.ndarray, objects: int) -> ClassResult:
    """COCO's 101-point average precision over all pictures' detections of one class."""
    scored = outcomes >= 0
    order = np.argsort(-scores[scored], kind="stable")
    scores, hits = scores[scored][order], outcomes[scored][order]
    if objects == 0 or len(scores) == 0:
        return ClassResult(objects, 0.0 if objects else float("nan"), 0.0, 0.0, 0.0)
    found = hits.cumsum()
    recall, precision = found / objects, found / np.arange(1, len(hits) + 1)
    best = (2 * precision * recall / np.maximum(precision + recall, 1e-9)).argmax()
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, RECALLS, side="left")
    value = np.where(at < len(envelope), envelope[at.clip(max=len(envelope) - 1)], 0).mean()
    return ClassResult(objects, float(value), float(scores[best]), float(precision[best]), float(recall[best]))


def evaluate(detector: Detector, samples: list[Sample], score_threshold: float = 0.05) -> list[ClassResult]:
    """Results by class over the samples."""
    gathered: list[list[tuple[np.ndarray, np.ndarray, int]]] = [[] for _ in detector.card.classes]
    for sample in samples:
        with Image.open(sample.path) as file:
            found = detector(np.asarray(file.convert("RGB")), score_threshold)
        for label, results in enumerate(gathered):
            results.append(match(found, sample, label))
    return [
        average_precision(*(np.concatenate(part) for part in list(zip(*results))[:2]), sum(r[2] for r in results))
        for results in gathered
    ]


def mean_precision(results: list[ClassResult]) -> float:
    """mAP at IoU 0.5 over the classes that occur."""
    return float(np.nanmean([result.average_precision for result in results]))


def table(classes: list[str], results: list[ClassResult]) -> str:
    """The results as a Markdown table."""
    lines = ["| class | objects | AP50 | best F1 at score | precision | recall |", "|---|---|---|---|---|---|"]
    for name, r in zip(classes, results):
        lines.append(
            f"| {name} | {r.objects} | {r.average_precision:.3f} | {r.best_threshold:.2f} | {r.precision:.2f} | {r.recall:.2f} |"
        )
    lines.append(f"| mean | {sum(r.objects for r in results)} | {mean_precision(results):.3f} | | | |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="average precision at IoU 0.5 of a model file on a data set")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="directory with truth.coco.json, or of such directories")
    parser.add_argument("--limit", type=int, help="only the first N pictures")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    network, card = load(options.model)
    samples = [sample for directory in data_sets(options.data) for sample in read_truth(directory)[1]][: options.limit]
    if not samples:
        parser.error(f"{options.data}: no truth.coco.json below it")
    detector = Detector(network.to(options.device), card, options.device)
    print(table(card.classes, evaluate(detector, samples)))


if __name__ == "__main__":
    main()
