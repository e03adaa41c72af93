"""Tests of the training code's arithmetic: `cd models && python -m unittest train.test_train`."""

import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .boxes import Grid, complete_iou, flatten, iou
from .data import Augment, Batch, Sample, letterbox
from .evaluate import Detections, average_precision, match, suppress
from .export import ModelCard, export, load
from .initial import restore_norms
from .loss import assign, detection_loss
from .networks import YoloDarknet53, YoloResnet18, scaled
from .parity import ANCHORS, CLASSES, randomise


def batch_of(boxes: list[list[float]], labels: list[int], ignored: list[bool] | None = None) -> Batch:
    """One picture of 96x96 with these objects."""
    n = len(boxes)
    return Batch(
        torch.zeros(1, 96, 96, 3, dtype=torch.uint8),
        torch.tensor(boxes, dtype=torch.float32).view(n, 4),
        torch.tensor(labels),
        torch.tensor(ignored or [False] * n),
        torch.zeros(n, dtype=torch.int64),
    )


class Networks(unittest.TestCase):
    def test_full_width_has_the_published_parameter_counts(self):
        for network, parameters, convolutions in ((YoloResnet18, 16_429_841, 43), (YoloDarknet53, 61_539_889, 75)):
            built = network(1.0)
            self.assertEqual(sum(p.numel() for p in built.parameters()), parameters)
            self.assertEqual(sum(isinstance(m, torch.nn.Conv2d) for m in built.modules()), convolutions)

    def test_widths_round_up_to_multiples_of_eight(self):
        self.assertEqual([scaled(c, 0.125) for c in (32, 64, 72, 512)], [8, 8, 16, 64])

    def test_an_exported_network_computes_what_it_did(self):
        torch.manual_seed(1)
        network = YoloDarknet53(0.0625)
        randomise(network, (96, 96))
        network.eval()
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "tiny.safetensors"
            export(network, ModelCard("tiny", CLASSES, (96, 96), ANCHORS), path)
            again, card = load(path)
        picture = torch.rand(1, 3, 96, 96)
        with torch.no_grad():
            before, after = network(picture), again(picture)
        for stride in before:
            self.assertLess((before[stride] - after[stride]).abs().max() / before[stride].abs().max(), 0.02)
        self.assertEqual((card.classes, card.input, card.anchors), (CLASSES, (96, 96), ANCHORS))


    def test_restored_norms_change_nothing(self):
        torch.manual_seed(2)
        network = YoloResnet18(0.0625)
        randomise(network, (96, 96))
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "tiny.safetensors"
            export(network.eval(), ModelCard("tiny", CLASSES, (96, 96), ANCHORS), path)
            again, _ = load(path)
        pictures = torch.rand(4, 3, 96, 96)
        with torch.no_grad():
            before = again(pictures)
            restore_norms(again, [pictures])
            after, fresh = again(pictures), again.train()(pictures)
        for stride in before:
            torch.testing.assert_close(after[stride], before[stride], rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(fresh[stride], before[stride], rtol=1e-2, atol=1e-2)


class Boxes(unittest.TestCase):
    def test_a_prediction_decodes_to_its_cell_and_anchor(self):
        grid = Grid(96, 96, ANCHORS)
        raw = torch.zeros(1, grid.total, 9)
        place = 2 * 144 + 5 * 12 + 7
        box = grid.decode(raw)[0, place]
        torch.testing.assert_close(box, torch.tensor([60 - 16.5, 44 - 11.5, 60 + 16.5, 44 + 11.5]))

    def test_flatten_keeps_the_grids_order(self):
        heads = {s: torch.zeros(1, 27, 96 // s, 96 // s) for s in (8, 16, 32)}
        heads[16][0, 9 + 4, 2, 3] = 1.0
        place = 3 * 144 + 36 + 2 * 6 + 3
        self.assertEqual(flatten(heads, 4)[0, :, 4].nonzero().item(), place)

    def test_overlaps(self):
        a, b = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 3, 2]])
        self.assertAlmostEqual(iou(a, b).item(), 1 / 3, places=6)
        overlap, complete = complete_iou(a, b)
        self.assertAlmostEqual(overlap.item(), 1 / 3, places=6)
        self.assertAlmostEqual(complete.item(), 1 / 3 - 1 / 13, places=6)


class Loss(unittest.TestCase):
    def test_objects_in_one_cell_get_predictions_of_their_own(self):
        boxes = [[40, 40, 52, 54], [40.5, 40, 52.5, 54], [39, 38, 53, 56]]
        owner, place = assign(batch_of(boxes, [1, 2, 3]), Grid(96, 96, ANCHORS))
        self.assertEqual(set(owner), {0, 1, 2})
        self.assertEqual(len(set(place)), len(place))

    def test_a_perfect_answer_costs_less_than_a_wrong_one_and_ignored_objects_nothing(self):
        grid = Grid(96, 96, ANCHORS)
        batch = batch_of([[43.5, 32.5, 76.5, 55.5]], [2])
        owner, place = assign(batch, grid)
        raw = torch.zeros(1, grid.total, 9)
        raw[..., 4] = -9
        raw[0, place, 4] = 9
        raw[0, place, 5:] = -9
        raw[0, place, 7] = 9
        good, parts = detection_loss(raw, grid, batch)
        raw[0, place, 7], raw[0, place, 5] = -9, 9
        wrong, _ = detection_loss(raw, grid, batch)
        self.assertLess(good.item(), wrong.item() - 5)
        ignored, _ = detection_loss(raw, grid, batch_of([[43.5, 32.5, 76.5, 55.5]], [2], [True]))
        self.assertLess(ignored.item(), 3.0)


class Evaluation(unittest.TestCase):
    sample = Sample(
        Path("none"),
        np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 60, 20]], np.float32),
        np.array([0, 0, 0]),
        np.array([False, False, True]),
    )

    def found(self, boxes: list[list[float]], scores: list[float]) -> Detections:
        return Detections(np.array(boxes, np.float32), np.array(scores, np.float32), np.zeros(len(boxes), np.int64))

    def test_hits_doubles_and_ignored_objects(self):
        boxes = [[0, 0, 10, 10], [1, 0, 11, 10], [42, 2, 50, 10], [43, 3, 51, 11], [70, 0, 80, 10]]
        _, outcome, objects = match(self.found(boxes, [0.9, 0.8, 0.7, 0.6, 0.5]), self.sample, 0)
        self.assertEqual(outcome.tolist(), [1, 0, -1, -1, 0])
        self.assertEqual(objects, 2)

    def test_average_precision_of_known_cases(self):
        half = average_precision(np.array([0.9]), np.array([1]), 2)
        self.assertAlmostEqual(half.average_precision, 51 / 101)
        # Hit, false, hit: precision 1 up to recall 0.5, then 2/3.
        mixed = average_precision(np.array([0.9, 0.8, 0.7]), np.array([1, 0, 1]), 2)
        self.assertAlmostEqual(mixed.average_precision, (51 + 50 * 2 / 3) / 101)
        self.assertEqual(average_precision(np.array([]), np.array([]), 2).average_precision, 0.0)

    def test_suppression_keeps_the_best_of_a_heap(self):
        boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10]])
        self.assertEqual(suppress(boxes, 0.4).tolist(), [0, 2])


class Pictures(unittest.TestCase):
    def test_letterbox_truncates_and_centres(self):
        pixels, scale, left, top = letterbox(np.zeros((720, 1280, 3), np.uint8), 416, 736)
        self.assertEqual((pixels.shape, scale, left, top), ((1, 3, 416, 736), 0.575, 0, 1))
        self.assertAlmostEqual(pixels[0, 0, 0, 0].item(), 128 / 255, places=6)
        self.assertEqual(pixels[0, 0, 1:414].abs().max().item(), 0)
        self.assertAlmostEqual(pixels[0, 0, 414, 0].item(), 128 / 255, places=6)

    def test_augmented_boxes_stay_on_their_objects(self):
        picture = np.full((207, 368, 3), 30, np.uint8)
        picture[80:140, 150:200] = 250
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "a.png"
            Image.fromarray(picture).save(path)
            sample = Sample(path, np.array([[150, 80, 200, 140]], np.float32), np.array([0]), np.array([False]))
            augment = Augment(208, 368, np.random.default_rng(5))
            for _ in range(40):
                pixels, boxes, _, ignored = augment(sample)
                if ignored.any() or not len(boxes):
                    continue
                x0, y0, x1, y1 = boxes[0]
                grey = pixels.astype(np.float32).mean(2)
                cx, cy = int((x0 + x1) / 2), int((y0 + y1) / 2)
                inside = grey[cy - 3 : cy + 4, cx - 3 : cx + 4].mean()
                for x, y in ((x0 - 8, cy), (x1 + 8, cy), (cx, y0 - 8), (cx, y1 + 8)):
                    if 3 < x < 365 and 3 < y < 205:
                        outside = grey[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3].mean()
                        self.assertNotAlmostEqual(inside, outside, delta=8)


if __name__ == "__main__":
    unittest.main()
