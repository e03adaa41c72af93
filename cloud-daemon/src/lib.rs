//! Answers `POST /infer` with the big model's detections.
