"""Pictures and their boxes: reading, augmentation, letterbox, and batches without end.

A data set is a directory of pictures with `truth.coco.json` beside them (COCO; `iscrowd` 1 marks an object that is
neither a hit nor a miss). Several such directories may lie under one; those that appear later are picked up.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

GREY = 128
"""Of the bars beside a picture that does not fill the input."""
PASS = 2000
MIN_SIDE = 2.0
"""A box that a crop has cut down to less than this many pixels is ignored, not learned."""


@dataclass
class Sample:
    """One picture's truth. `boxes` [n, 4] are x_min, y_min, x_max, y_max in pixels of the stored picture."""

    path: Path
    boxes: np.ndarray
    labels: np.ndarray
    ignored: np.ndarray
    """True where the object is neither to be found nor to be missed."""


def read_truth(directory: Path) -> tuple[list[str], list[Sample]]:
    """Class names by index and the samples of one data set."""
    truth = json.loads((directory / "truth.coco.json").read_text())
    categories = sorted(truth["categories"], key=lambda category: category["id"])
    index = {category["id"]: i for i, category in enumerate(categories)}
    by_image: dict[int, list[dict]] = {image["id"]: [] for image in truth["images"]}
    for annotation in truth["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    samples = []
    for image in truth["images"]:
        annotations = by_image[image["id"]]
        boxes = np.array([a["bbox"] for a in annotations], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        labels = np.array([index[a["category_id"]] for a in annotations], np.int64)
        ignored = np.array([a.get("iscrowd", 0) for a in annotations], bool)
        name = image["file_name"]
        path = directory / name
        samples.append(Sample(path if path.suffix else path.with_suffix(".jpg"), boxes, labels, ignored))
    return [category["name"] for category in categories], samples


def data_sets(root: Path) -> list[Path]:
    """Directories at or below `root` that hold a complete data set, oldest name first."""
    return sorted(path.parent for path in root.glob("**/truth.coco.json"))


def letterbox(picture: np.ndarray, height: int, width: int) -> tuple[Tensor, float, int, int]:
    """The deployed preparation of a picture (uint8, [h, w, 3]): fit inside, bilinear without smoothing, grey bars.

    Returns the input [1, 3, height, width] in 0..1, the scale, and the offsets of the picture from the left and the top.
    """
    h, w = picture.shape[:2]
    scale = min(width / w, height / h)
    inner = (max(1, int(h * scale)), max(1, int(w * scale)))
    pixels = torch.tensor(picture).permute(2, 0, 1)[None].float()
    pixels = F.interpolate(pixels, inner, mode="bilinear", align_corners=False)
    left, top = (width - inner[1]) // 2, (height - inner[0]) // 2
    canvas = torch.full((1, 3, height, width), float(GREY))
    canvas[:, :, top : top + inner[0], left : left + inner[1]] = pixels
    return canvas / 255, scale, left, top


class Augment:
    """Random geometry and colour, at the cost of a few milliseconds a picture."""

    def __init__(self, height: int, width: int, rng: np.random.Generator):
        self.height, self.width, self.rng = height, width, rng
        self.noise = rng.normal(0, 1, (height + 64, width + 64, 3)).astype(np.float32)

    def __call__(self, sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Pixels [height, width, 3] (uint8), boxes in them, labels, and the mask of ignored boxes."""
        with Image.open(sample.path) as file:
            picture = file.convert("RGB")
        picture, boxes = self.geometry(picture, sample.boxes)
        picture = self.colour(picture)
        clipped = boxes.copy()
        clipped[:, 0::2] = clipped[:, 0::2].clip(0, self.width)
        clipped[:, 1::2] = clipped[:, 1::2].clip(0, self.height)
        sides, whole = clipped[:, 2:] - clipped[:, :2], (boxes[:, 2:] - boxes[:, :2]).prod(1)
        visible = sides.prod(1) / np.maximum(whole, 1e-6)
        ignored = sample.ignored | (visible < 0.4) | (sides.min(1, initial=np.inf) < MIN_SIDE)
        kept = visible > 0.02
        return self.degrade(picture), clipped[kept], sample.labels[kept], ignored[kept]

    def geometry(self, picture: Image.Image, boxes: np.ndarray) -> tuple[Image.Image, np.ndarray]:
        """Scale (with a slight change of aspect), crop or bars, and flip, in one resampling."""
        rng, (w, h) = self.rng, picture.size
        fit = min(self.width / w, self.height / h)
        zoom = 1.0 if rng.random() < 0.3 else float(np.exp(rng.uniform(np.log(0.75), np.log(1.45))))
        aspect = float(np.exp(rng.normal(0, 0.04)))
        sx, sy = fit * zoom * aspect, fit * zoom / aspect
        spare_x, spare_y = self.width - w * sx, self.height - h * sy
        dx, dy = rng.random() * spare_x, rng.random() * spare_y
        flip = rng.random() < 0.5
        boxes = boxes * np.array([sx, sy, sx, sy], np.float32) + np.array([dx, dy, dx, dy], np.float32)
        # The part of the source that is seen, and where it lands.
        left, top = max(0, round(dx)), max(0, round(dy))
        right, bottom = min(self.width, round(dx + w * sx)), min(self.height, round(dy + h * sy))
        source = ((left - dx) / sx, (top - dy) / sy, (right - dx) / sx, (bottom - dy) / sy)
        source = (max(0.0, source[0]), max(0.0, source[1]), min(w, source[2]), min(h, source[3]))
        size = (right - left, bottom - top)
        if rng.random() < 0.5:
            x_step, y_step = (source[2] - source[0]) / size[0], (source[3] - source[1]) / size[1]
            affine = (x_step, 0, source[0], 0, y_step, source[1])
            part = picture.transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
        else:
            part = picture.resize(size, Image.Resampling.BILINEAR, box=source)
        if size != (self.width, self.height):
            canvas = Image.new("RGB", (self.width, self.height), (GREY, GREY, GREY))
            canvas.paste(part, (left, top))
            part = canvas
        if flip:
            part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            boxes = boxes[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32)
            boxes[:, 0::2] += self.width
        return part, boxes

    def colour(self, picture: Image.Image) -> Image.Image:
        """Hue and saturation (or grey) as one matrix; gain, gamma and low light as one table."""
        rng = self.rng
        if rng.random() < 0.5:
            saturation = 0.0 if rng.random() < 0.2 else rng.uniform(0.6, 1.4)
            angle = rng.normal(0, 0.06)
            cos, sin = np.cos(angle) * saturation, np.sin(angle) * saturation
            luma = np.tile(np.array([0.299, 0.587, 0.114]), (3, 1))
            turn = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
            matrix = luma + cos * (np.eye(3) - luma) + sin * turn @ (np.eye(3) - luma)
            picture = picture.convert("RGB", tuple(np.c_[matrix, np.zeros(3)].ravel()))
        if rng.random() < 0.6:
            levels = np.linspace(0, 1, 256)
            gamma = np.exp(rng.normal(0, 0.25))
            gain = rng.uniform(0.35, 0.8) if rng.random() < 0.15 else rng.uniform(0.8, 1.2)
            tint = 1 + rng.normal(0, 0.03, 3)
            tables = [(255 * levels**gamma * gain * t).clip(0, 255).astype(np.uint8) for t in tint]
            picture = picture.point(np.concatenate(tables).tolist())
        return picture

    def degrade(self, picture: Image.Image) -> np.ndarray:
        """What a camera and an upload do: blur, sensor noise, JPEG."""
        rng = self.rng
        if rng.random() < 0.12:
            picture = picture.filter(ImageFilter.BoxBlur(rng.uniform(0.3, 1.2)))
        if rng.random() < 0.25:
            y, x = rng.integers(0, 64, 2)
            noise = self.noise[y : y + self.height, x : x + self.width] * rng.uniform(1, 9)
            picture = Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))
        if rng.random() < 0.35:
            packed = io.BytesIO()
            picture.save(packed, "JPEG", quality=int(rng.integers(30, 96)))
            picture = Image.open(packed)
        return np.asarray(picture)


@dataclass
class Batch:
    """Pixels [n, h, w, 3] (uint8) and, over the whole batch, boxes [m, 4], labels, ignored flags and picture numbers."""

    pixels: Tensor
    boxes: Tensor
    labels: Tensor
    ignored: Tensor
    picture: Tensor


class Stream(IterableDataset):
    """Batches of augmented pictures for ever: each pass takes up to `PASS` of the pictures known at its start, at random."""

    def __init__(self, root: Path, batch: int, height: int, width: int, seed: int):
        self.root, self.batch, self.height, self.width, self.seed = root, batch, height, width, seed

    def __iter__(self) -> Iterator[Batch]:
        info = torch.utils.data.get_worker_info()
        torch.set_num_threads(1)
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        augment = Augment(self.height, self.width, rng)
        known: dict[Path, list[Sample]] = {}
        while True:
            for directory in data_sets(self.root):
                if directory not in known:
                    known[directory] = read_truth(directory)[1]
            samples = [sample for part in known.values() for sample in part]
            if len(samples) < self.batch:
                raise FileNotFoundError(f"{self.root}: {len(samples)} pictures, fewer than a batch of {self.batch}")
            # No pass is long, so that pictures that came meanwhile are not kept waiting.
            order = rng.permutation(len(samples))[: max(self.batch, PASS)]
            for start in range(0, len(order) - self.batch + 1, self.batch):
                yield collate([augment(samples[i]) for i in order[start : start + self.batch]])


def collate(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]) -> Batch:
    """Joins augmented samples to a batch."""
    pixels, boxes, labels, ignored = zip(*parts)
    return Batch(
        torch.from_numpy(np.stack(pixels)),
        torch.from_numpy(np.concatenate(boxes)),
        torch.from_numpy(np.concatenate(labels)),
        torch.from_numpy(np.concatenate(ignored)),
        torch.from_numpy(np.repeat(np.arange(len(boxes)), [len(b) for b in boxes])),
    )


def loader(stream: Stream, workers: int) -> Iterator[Batch]:
    """The stream's batches, prepared by `workers` other processes."""
    return iter(DataLoader(stream, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None))


def mean_anchors(root: Path, height: int, width: int, rounds: int = 60, limit: int = 60000) -> list[list[list[float]]]:
    """Three anchors for each stride: k-means on the logarithms of the sides of the boxes that are of that stride's size.

    A stride's size is a mean side (the root of the area) up to three of its steps: 24 px at stride 8, 48 px at stride 16.
    """
    sides = []
    for directory in data_sets(root):
        for sample in read_truth(directory)[1]:
            with Image.open(sample.path) as file:
                w, h = file.size
            scale = min(width / w, height / h)
            sides.append((sample.boxes[:, 2:] - sample.boxes[:, :2])[~sample.ignored] * scale)
        if sum(map(len, sides)) > limit:
            break
    points = np.log(np.concatenate(sides).clip(2))
    mean_side = np.exp(points.mean(1))
    anchors = []
    for low, high in ((0, 24), (24, 48), (48, np.inf)):
        band = points[(low <= mean_side) & (mean_side < high)]
        if len(band) < 30:
            raise ValueError(f"{root}: only {len(band)} boxes with a mean side of {low} to {high} px; render more pictures")
        centres = np.quantile(band, [0.15, 0.5, 0.85], axis=0)
        for _ in range(rounds):
            nearest = ((band[:, None] - centres) ** 2).sum(2).argmin(1)
            centres = np.stack([band[nearest == i].mean(0) if (nearest == i).any() else centres[i] for i in range(3)])
        anchors.append(np.exp(centres[centres.sum(1).argsort()]).astype(np.float64).round(1).tolist())
    return anchors
