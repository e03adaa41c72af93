"""Makes the demo pair from nothing: renders the pictures, trains both networks, exports them.

    cd models
    python -m train.demo --minutes 80 --data /tmp/demo-data --renderer ../target/release/demo-renderer --out .

Rendering goes on beside the training, which takes pictures up as they come. Stopped halfway, the same command goes on
from the last checkpoint.
"""

import argparse
import shutil
import subprocess
import threading
from pathlib import Path

from .export import deploy
from .train import Options, train

STORE_WIDTH = 736
"""Pixels across a stored picture: the widest input of the pair."""

BIG_INPUT = (416, 736)
"""What the big model works on once trained: as many pixels as 544x544, but no grey bars round a 16:9 picture."""

BIG_SCORE = 0.25
"""The score from which the big model reports a box: near the best F1 of its weakest classes."""
PART = 500
"""Pictures a data set: training takes them up when a set is whole."""
HELD_OUT_SEED = 900_001
LITTLE_SHARE = 0.15
"""Of the training time. The little model is meant to be quick and to leave something to the big one."""


def render(renderer: Path, directory: Path, count: int, seed: int) -> list[str]:
    """The command that renders one data set."""
    options = {"--out": directory, "--count": count, "--seed": seed, "--store-width": STORE_WIDTH}
    return [str(renderer), "dataset", *(str(word) for pair in options.items() for word in pair)]


class Rendering(threading.Thread):
    """Renders the data sets that are missing, one after another, each in place only when whole."""

    def __init__(self, renderer: Path, data: Path, pictures: int, held_out: int):
        super().__init__(name="rendering")
        self.renderer, self.data = renderer, data
        parts = [(data / "train" / f"{i:03}", min(PART, pictures - i * PART), i + 1) for i in range(-(-pictures // PART))]
        self.wanted = [(data / "held-out", held_out, HELD_OUT_SEED), *parts]
        self.first = threading.Event()
        """Set once there is enough to start with, or once rendering has failed."""
        self.error: str | None = None
        self.child: subprocess.Popen | None = None
        self.stopping = False

    def run(self) -> None:
        for number, (directory, count, seed) in enumerate(self.wanted):
            if self.stopping:
                break
            if not (directory / "truth.coco.json").exists() and not self.render_one(directory, count, seed):
                break
            if number >= 1:
                self.first.set()
        self.first.set()

    def render_one(self, directory: Path, count: int, seed: int) -> bool:
        """Renders one data set beside its place and moves it there."""
        part = self.data / f".{directory.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        directory.parent.mkdir(parents=True, exist_ok=True)
        command = ["nice", "-n", "10", *render(self.renderer, part, count, seed)]
        self.child = subprocess.Popen(command)
        if self.child.wait() != 0:
            self.error = f"{' '.join(command)} ended with status {self.child.returncode}"
            shutil.rmtree(part, ignore_errors=True)
            return False
        part.rename(directory)
        return True

    def stop(self) -> None:
        """Ends the rendering; what is incomplete is removed."""
        self.stopping = True
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()
        self.join()


def pair(options: argparse.Namespace) -> list[Options]:
    """The two trainings, in order."""
    shared = {"data": options.data / "train", "held_out": options.data / "held-out", "device": options.device}
    little = Options(
        family="yolov3-resnet18",
        width=0.25,
        input=(416, 736),
        crop=(416, 736),
        minutes=options.minutes * LITTLE_SHARE,
        out=options.out / "demo-little.safetensors",
        rate=2e-3,
        **shared,
    )
    big = Options(
        family="yolov3-darknet53",
        width=0.25,
        input=(544, 544),
        crop=(320, 544),
        minutes=options.minutes * (1 - LITTLE_SHARE),
        out=options.out / "demo-big.safetensors",
        rate=1.2e-3,
        **shared,
    )
    return [little, big]


def main() -> None:
    parser = argparse.ArgumentParser(description="render, train and export the demo pair")
    parser.add_argument("--minutes", type=float, default=80, help="training time of both together [%(default)s]")
    parser.add_argument("--data", type=Path, required=True, help="directory for the rendered pictures (0.6 GB)")
    parser.add_argument("--renderer", type=Path, required=True, help="the demo-renderer program")
    parser.add_argument("--out", type=Path, required=True, help="directory for the two model files")
    parser.add_argument("--pictures", type=int, default=12000, help="to train on [%(default)s]")
    parser.add_argument("--held-out", type=int, default=400, help="pictures to measure on [%(default)s]")
    parser.add_argument("--device", default="cpu", help="cpu or cuda [%(default)s]")
    options = parser.parse_args()
    if not options.renderer.is_file():
        parser.error(f"{options.renderer}: no such program; build it with `cargo build --release -p demo-renderer`")
    options.out.mkdir(parents=True, exist_ok=True)
    rendering = Rendering(options.renderer, options.data, options.pictures, options.held_out)
    rendering.start()
    try:
        rendering.first.wait()
        if rendering.error:
            parser.exit(1, f"rendering failed: {rendering.error}\n")
        trainings = pair(options)
        # A checkpoint tells that the trainings before it are done.
        stopped = [i for i, t in enumerate(trainings) if t.out.with_name(t.out.name + ".checkpoint").exists()]
        for training in trainings[stopped[0] if stopped else 0 :]:
            train(training)
        deploy(trainings[-1].out, BIG_INPUT, BIG_SCORE)
    except KeyboardInterrupt:
        parser.exit(130, "stopped; the same command goes on from the last checkpoint\n")
    finally:
        rendering.stop()


if __name__ == "__main__":
    main()
