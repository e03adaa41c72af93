"""Trains one network for a given time and exports it.

    python -m train.train --family yolov3-darknet53 --width 0.25 --input 544 544 --crop 320 544 \\
        --minutes 60 --data DIR/train --held-out DIR/held-out --out demo-big.safetensors

The learning rate follows the clock, not a count of steps, so that training ends annealed whatever else the machine does.
A run that was stopped goes on from its checkpoint (`<out>.checkpoint`), with the time that it had left.
"""

import argparse
import math
import time
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from .boxes import Grid, flatten
from .data import Stream, data_sets, loader, mean_anchors, read_truth
from .evaluate import Detector, evaluate, mean_precision, table
from .export import ModelCard, export
from .loss import detection_loss
from .networks import FAMILIES, Yolo, build

WARM_UP = 0.04
"""Share of the time over which the learning rate rises."""
FINAL_RATE = 0.005
"""The learning rate's end, as a share of its peak."""
CLIP_NORM = 10.0
MAX_BAD_STEPS = 20


@dataclass
class Options:
    """What to train, on what, for how long. Sizes are (height, width)."""

    family: str
    width: float
    input: tuple[int, int]
    crop: tuple[int, int]
    """Size of the training pictures: the part of the input that a camera's picture covers. Same scale as the input."""
    minutes: float
    data: Path
    held_out: Path
    out: Path
    batch: int = 8
    rate: float = 1e-3
    weight_decay: float = 0.02
    average: float = 0.998
    """Decay of the moving average of the weights, which is what is exported."""
    workers: int = 1
    device: str = "cpu"
    seed: int = 1
    save_minutes: float = 4.0
    """Between checkpoints, each with an export of the average so far at `<out>.preview`."""
    evaluate_pictures: int = 60
    """Held-out pictures scored at each checkpoint; 0 for none."""


class Average:
    """Exponential moving average of a network's parameters and norm statistics."""

    def __init__(self, network: nn.Module, decay: float):
        self.network, self.decay, self.steps = deepcopy(network).eval(), decay, 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        mine, theirs = self.network.state_dict(), network.state_dict()
        floats = [name for name, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_([mine[name] for name in floats], [theirs[name] for name in floats], 1 - keep)


def rate_at(progress: float) -> float:
    """Share of the peak learning rate: a linear rise, then half a cosine."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.01)
    fall = min(1.0, (progress - WARM_UP) / (1 - WARM_UP))
    return FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * fall)) / 2


def optimiser(network: nn.Module, options: Options) -> torch.optim.AdamW:
    """AdamW; only convolution weights decay."""
    kernels = [p for p in network.parameters() if p.dim() == 4]
    others = [p for p in network.parameters() if p.dim() < 4]
    groups = [{"params": kernels, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=options.rate, betas=(0.9, 0.99), foreach=True)


class Run:
    """One training run: its state, its clock, its checkpoints."""

    def __init__(self, options: Options):
        self.options = options
        torch.manual_seed(options.seed)
        self.checkpoint = options.out.with_name(options.out.name + ".checkpoint")
        self.preview = options.out.with_name(options.out.name + ".preview")
        saved = torch.load(self.checkpoint, weights_only=True) if self.checkpoint.exists() else None
        classes = read_truth(data_sets(options.held_out)[0])[0]
        anchors = saved["anchors"] if saved else mean_anchors(options.data, *options.input)
        self.card = ModelCard(options.out.stem, classes, options.input, anchors)
        network: Yolo = build(options.family, options.width, len(classes))
        self.network = network.to(options.device, memory_format=torch.channels_last)
        self.average = Average(self.network, options.average)
        self.optimiser = optimiser(self.network, options)
        self.grid = Grid(*options.crop, anchors, options.device)
        self.step, self.before = 0, 0.0
        if saved:
            self.network.load_state_dict(saved["network"])
            self.average.network.load_state_dict(saved["average"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.step = self.average.steps = saved["step"]
            self.before = saved["seconds"]
        self.started = time.monotonic()
        print(f"{options.out.name}: {sum(p.numel() for p in network.parameters())} parameters, anchors {anchors}", flush=True)

    def seconds(self) -> float:
        """Training time so far, over all resumptions."""
        return self.before + time.monotonic() - self.started

    def save(self) -> None:
        """Writes the checkpoint and the preview."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "anchors": self.card.anchors,
            "step": self.step,
            "seconds": self.seconds(),
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)
        export(self.average.network, self.card, self.preview)

    def forward(self, pixels: Tensor) -> Tensor:
        """Flattened raw predictions of a batch of bytes [n, h, w, 3], computed in bfloat16."""
        device = self.options.device
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            scaled = pixels.to(device, non_blocking=True).permute(0, 3, 1, 2).to(torch.bfloat16) / 255
            return flatten(self.network(scaled), len(self.card.classes))

    def train(self) -> None:
        """Steps until the time is over."""
        options, total = self.options, self.options.minutes * 60
        stream = Stream(options.data, options.batch, *options.crop, options.seed + self.step)
        self.network.train()
        sums: dict[str, float] = {}
        shown, bad, last_save = self.step, 0, self.seconds()
        for batch in loader(stream, options.workers):
            progress = self.seconds() / total
            if progress >= 1:
                break
            for group in self.optimiser.param_groups:
                group["lr"] = options.rate * rate_at(progress)
            loss, parts = detection_loss(self.forward(batch.pixels), self.grid, batch)
            self.optimiser.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM)
            if torch.isfinite(norm):
                self.optimiser.step()
                self.average.update(self.network)
            else:
                bad += 1
                if bad > MAX_BAD_STEPS:
                    raise ArithmeticError(f"the gradient was not finite {bad} times; train with a lower --rate")
            self.step += 1
            for name, value in (parts | {"norm": norm.item()}).items():
                sums[name] = sums.get(name, 0) + value
            if self.step - shown == 50:
                means = " ".join(f"{name} {value / 50:.3f}" for name, value in sums.items())
                print(f"{self.seconds() / 60:6.1f} min, step {self.step}: {means}", flush=True)
                shown, sums = self.step, {}
            if self.seconds() - last_save > options.save_minutes * 60:
                self.save()
                self.report(options.evaluate_pictures)
                last_save = self.seconds()

    def report(self, pictures: int | None) -> None:
        """Prints the average's precision on the first held-out pictures."""
        samples = [sample for directory in data_sets(self.options.held_out) for sample in read_truth(directory)[1]]
        if pictures == 0:
            return
        with torch.autocast(torch.device(self.options.device).type, torch.bfloat16):
            results = evaluate(Detector(self.average.network, self.card, self.options.device), samples[:pictures])
        by_class = ", ".join(f"{n} {r.average_precision:.3f}" for n, r in zip(self.card.classes, results))
        print(f"held out: mAP50 {mean_precision(results):.3f} ({by_class})", flush=True)
        if pictures is None:
            print(table(self.card.classes, results), flush=True)


def train(options: Options) -> None:
    """Trains, exports to `options.out`, and scores all held-out pictures."""
    run = Run(options)
    try:
        run.train()
    finally:
        run.save()
    export(run.average.network, run.card, options.out)
    run.preview.unlink()
    run.checkpoint.unlink()
    run.report(None)


def main() -> None:
    parser = argparse.ArgumentParser(description="train one detector for a given time")
    parser.add_argument("--family", choices=sorted(FAMILIES), required=True)
    parser.add_argument("--width", type=float, required=True, help="channel multiplier")
    parser.add_argument("--input", type=int, nargs=2, required=True, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--crop", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="size of training pictures [input]")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    defaults = {f.name: f.default for f in Options.__dataclass_fields__.values()}
    for name in ("batch", "rate", "weight_decay", "average", "workers", "device", "seed", "save_minutes", "evaluate_pictures"):
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=type(defaults[name]), default=defaults[name], help="[%(default)s]")
    options = Options(**vars(parser.parse_args()))
    crop = options.crop or options.input
    if any(side % 32 for side in (*options.input, *crop)):
        parser.error("--input and --crop must be multiples of 32")
    train(replace(options, input=tuple(options.input), crop=tuple(crop)))


if __name__ == "__main__":
    main()
