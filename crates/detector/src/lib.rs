//! Pixels to detections: YOLOv3 networks, their weights, pre- and post-processing, evaluation.
