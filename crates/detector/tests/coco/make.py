"""Makes labels.json and detections.json from chance, and golden.json: what pycocotools says of them.

    pip install -r requirements.txt && python make.py

The set has what evaluations trip over: crowds, pictures with nothing in them (with and without detections), a class
without objects, a class without detections, a class of crowds only, equal scores within and across pictures, more
than 100 detections of a class in a picture, images not in the order of their ids, and ids with gaps.
"""

import contextlib
import io
import json
import random
from pathlib import Path

import numpy
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

HERE = Path(__file__).parent
WIDTH, HEIGHT = 320, 240
CLASSES = {3: "person", 5: "helmet", 6: "never_there", 11: "never_found", 40: "crowds_only"}


def box(random: random.Random) -> list[float]:
    width, height = random.uniform(8, 120), random.uniform(8, 90)
    x, y = random.uniform(0, WIDTH - width), random.uniform(0, HEIGHT - height)
    return [round(value, 2) for value in (x, y, width, height)]


def shaken(random: random.Random, bbox: list[float], share: float) -> list[float]:
    x, y, width, height = bbox
    moved = [
        x + random.gauss(0, share) * width,
        y + random.gauss(0, share) * height,
        width * (1 + random.gauss(0, share)),
        height * (1 + random.gauss(0, share)),
    ]
    return [round(value, 2) for value in moved]


def make(random: random.Random) -> tuple[dict, list[dict]]:
    ids = random.sample(range(1, 90), 24)
    images = [
        {"id": id, "file_name": f"{id:03}.jpg", "width": WIDTH, "height": HEIGHT} for id in ids
    ]
    annotations, detections = [], []
    for index, image in enumerate(ids):
        # Every sixth picture is empty; half of those have detections all the same.
        if index % 6 != 5:
            for _ in range(random.randint(1, 7)):
                category = random.choice([3, 3, 3, 5, 5, 11, 40])
                bbox = box(random)
                crowd = int(category == 40 or random.random() < 0.15)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image,
                        "category_id": category,
                        "bbox": bbox,
                        "area": round(bbox[2] * bbox[3], 2),
                        "iscrowd": crowd,
                    }
                )
                if category == 11:
                    continue
                for _ in range(random.choice([0, 1, 1, 1, 2, 3 if crowd else 1])):
                    share = random.choice([0.01, 0.04, 0.08, 0.15])
                    found = random.choice([category, category, category, 3])
                    detections.append(
                        {
                            "image_id": image,
                            "category_id": found,
                            "bbox": shaken(random, bbox, share),
                            # Few digits, so that many are equal.
                            "score": round(random.betavariate(5, 2) * (1 - share), 2),
                        }
                    )
        if index % 6 != 5 or index % 12 == 5:
            for _ in range(random.randint(0, 4)):
                detections.append(
                    {
                        "image_id": image,
                        "category_id": random.choice([3, 5, 6, 40]),
                        "bbox": box(random),
                        "score": round(random.betavariate(2, 4), 2),
                    }
                )
    # More than 100 of a class in one picture.
    for _ in range(130):
        detections.append(
            {
                "image_id": ids[0],
                "category_id": 5,
                "bbox": box(random),
                "score": round(random.uniform(0.02, 0.6), 2),
            }
        )
    random.shuffle(detections)
    categories = [{"id": id, "name": name} for id, name in reversed(CLASSES.items())]
    return {"images": images, "annotations": annotations, "categories": categories}, detections


def figure(precision: numpy.ndarray) -> float | None:
    """The mean of what counts, as COCOeval.summarize takes it."""
    counting = precision[precision > -1]
    return float(counting.mean()) if counting.size else None


def judge(labels: dict, detections: list[dict]) -> dict:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = labels
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # [threshold, recall, class, area, most detections]
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    return {
        "map50_95": float(evaluation.stats[0]),
        "map50": float(evaluation.stats[1]),
        "classes": {
            CLASSES[id]: {
                "ap50": figure(precision[0, :, index]),
                "ap50_95": figure(precision[:, :, index]),
            }
            for index, id in enumerate(evaluation.params.catIds)
        },
    }


def main() -> None:
    labels, detections = make(random.Random(20))
    for name, content in [
        ("labels", labels),
        ("detections", detections),
        ("golden", judge(json.loads(json.dumps(labels)), json.loads(json.dumps(detections)))),
    ]:
        indent = 2 if name == "golden" else None
        (HERE / f"{name}.json").write_text(json.dumps(content, indent=indent) + "\n")


if __name__ == "__main__":
    main()
