"""Trains one network for a given time and exports it.

    python -m train.train --family yolov3-darknet53 --width 0.25 --input 544 544 --crop 320 544 \\
        --minutes 60 --data DIR/train --held-out DIR/held-out --out demo-big.safetensors

The learning rate follows the clock, not a count of steps, so that training ends annealed whatever else the machine does.
A run that was stopped goes on from its checkpoint (`<out>.checkpoint`), with the time that it had left.

On a CPU, one process a core with a part of the batch each and averaged gradients is about twice as quick as one process
with as many threads: the layers are too small to be worth splitting.
"""

import argparse
import math
import os
import tempfile
import time
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from .boxes import Anchors, Grid, flatten
from .data import Stream, data_sets, loader, mean_anchors, read_truth
from .evaluate import Detector, evaluate, mean_precision, table
from .export import ModelCard, export, load
from .initial import restore_norms
from .loss import detection_loss
from .networks import FAMILIES, Yolo, build

WARM_UP = 0.04
"""Share of the time over which the learning rate rises."""
FINAL_RATE = 0.005
"""The learning rate's end, as a share of its peak."""
CLIP_NORM = 10.0
SHOWN_STEPS = 50
"""Steps between lines of progress."""
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
    initial: Path | None = None
    """A model file to go on from; its anchors are kept. None: random weights."""
    batch: int = 12
    """Pictures a step, over all processes."""
    rate: float = 1e-3
    weight_decay: float = 0.02
    average: float = 0.998
    """Decay of the moving average of the weights, which is what is exported."""
    workers: int = 0
    """Processes that prepare batches, for each training process; 0: it prepares its own."""
    processes: int = 0
    """Training processes; 0: one for each CPU, or one for a GPU."""
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
    """One process's part of a training run: its state, its clock, and, in the first process, the checkpoints."""

    def __init__(self, options: Options, rank: int, processes: int):
        self.options, self.rank, self.processes = options, rank, processes
        torch.manual_seed(options.seed)
        self.checkpoint = options.out.with_name(options.out.name + ".checkpoint")
        self.preview = options.out.with_name(options.out.name + ".preview")
        saved = torch.load(self.checkpoint, weights_only=True) if self.checkpoint.exists() else None
        classes = read_truth(data_sets(options.held_out)[0])[0]
        network: Yolo = build(options.family, options.width, len(classes))
        if saved:
            anchors = saved["anchors"]
        elif options.initial:
            anchors = self.start_from(options.initial, network)
        else:
            anchors = mean_anchors(options.data, *options.input)
        self.card = ModelCard(options.out.stem, classes, options.input, anchors)
        self.network = network.to(options.device, memory_format=torch.channels_last)
        self.average = Average(self.network, options.average)
        self.optimiser = optimiser(self.network, options)
        self.replica = DistributedDataParallel(self.network, forward_sync_buffers=False) if processes > 1 else self.network
        self.grid = Grid(*options.crop, anchors, options.device)
        self.step, self.before = 0, 0.0
        if saved:
            self.network.load_state_dict(saved["network"])
            self.average.network.load_state_dict(saved["average"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.step = self.average.steps = saved["step"]
            self.before = saved["seconds"]
        self.started = time.monotonic()
        parameters = sum(p.numel() for p in network.parameters())
        self.say(f"{options.out.name}: {parameters} parameters, {processes} processes, anchors {anchors}")

    def start_from(self, path: Path, network: Yolo) -> Anchors:
        """Gives the network the weights of a model file; returns its anchors."""
        loaded, card = load(path)
        batches = Stream(self.options.data, 8, *self.options.crop, self.options.seed)
        pixels = (batch.pixels.permute(0, 3, 1, 2).float() / 255 for batch in islice(batches, 8))
        restore_norms(loaded, pixels)
        network.load_state_dict(loaded.state_dict())
        return card.anchors

    def say(self, line: str) -> None:
        """Prints a line, once for all processes."""
        if self.rank == 0:
            print(line, flush=True)

    def seconds(self) -> float:
        """Training time so far, over all resumptions."""
        return self.before + time.monotonic() - self.started

    def progress(self) -> float:
        """Share of the time that is over, by the first process's clock."""
        share = torch.tensor(self.seconds() / (60 * self.options.minutes))
        if self.processes > 1:
            distributed.broadcast(share, 0)
        return share.item()

    def save(self) -> None:
        """Writes the checkpoint and the preview; the first process's work."""
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
            return flatten(self.replica(scaled), len(self.card.classes))

    def train(self) -> None:
        """Steps until the time is over."""
        options = self.options
        seed = options.seed + 1000 * self.step + self.rank
        stream = Stream(options.data, max(1, options.batch // self.processes), *options.crop, seed)
        self.network.train()
        sums: dict[str, float] = {}
        shown, bad, last_save = self.step, 0, self.seconds()
        for batch in loader(stream, options.workers):
            progress = self.progress()
            if progress >= 1:
                break
            for group in self.optimiser.param_groups:
                group["lr"] = options.rate * rate_at(progress)
            loss, parts = detection_loss(self.forward(batch.pixels), self.grid, batch)
            self.optimiser.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM)
            self.step += 1
            if torch.isfinite(norm):
                self.optimiser.step()
                if self.rank == 0:
                    self.average.update(self.network)
            else:
                bad += 1
                if bad > MAX_BAD_STEPS:
                    raise ArithmeticError(f"the gradient was not finite {bad} times; train with a lower --rate")
            for name, value in (parts | {"norm": norm.item()}).items():
                sums[name] = sums.get(name, 0) + value
            if self.step - shown == SHOWN_STEPS:
                means = " ".join(f"{name} {value / SHOWN_STEPS:.3f}" for name, value in sums.items())
                self.say(f"{self.seconds() / 60:6.1f} min, step {self.step}: {means}")
                shown, sums = self.step, {}
            if self.rank == 0 and self.seconds() - last_save > options.save_minutes * 60:
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


def run_process(rank: int, options: Options, processes: int, meeting: str) -> None:
    """One of the processes of a run; they meet at the file `meeting`."""
    if options.device == "cpu":
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
    if processes > 1:
        distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=processes)
    run = Run(options, rank, processes)
    try:
        run.train()
    finally:
        if rank == 0:
            run.save()
    if rank == 0:
        export(run.average.network, run.card, options.out)
        run.preview.unlink()
        run.checkpoint.unlink()
        run.report(None)
    if processes > 1:
        # Nobody may leave while another still listens.
        distributed.barrier()
        distributed.destroy_process_group()


def train(options: Options) -> None:
    """Trains, exports to `options.out`, and scores all held-out pictures."""
    processes = options.processes or (os.cpu_count() or 1 if options.device == "cpu" else 1)
    processes = min(processes, options.batch)
    with tempfile.TemporaryDirectory(prefix="train-") as directory:
        arguments = (options, processes, f"{directory}/meeting")
        if processes == 1:
            run_process(0, *arguments)
        else:
            torch.multiprocessing.spawn(run_process, arguments, processes)


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
    parser.add_argument("--initial", type=Path, help="model file to go on from, of the same family and width")
    defaults = {f.name: f.default for f in Options.__dataclass_fields__.values()}
    for name in ("batch", "rate", "weight_decay", "average", "workers", "processes", "device", "seed", "save_minutes", "evaluate_pictures"):
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=type(defaults[name]), default=defaults[name], help="[%(default)s]")
    options = Options(**vars(parser.parse_args()))
    crop = options.crop or options.input
    if any(side % 32 for side in (*options.input, *crop)):
        parser.error("--input and --crop must be multiples of 32")
    train(replace(options, input=tuple(options.input), crop=tuple(crop)))


if __name__ == "__main__":
    main()
