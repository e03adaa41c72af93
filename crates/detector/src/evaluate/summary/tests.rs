use protocol::{BoundingBox, Detection};

use super::*;
use crate::evaluate::Object;

#[test]
fn thresholds_are_those_of_coco() {
    let found: Vec<f64> = (0..OVERLAPS).map(overlap).collect();
    assert_eq!(found.first(), Some(&0.5));
    assert_eq!(found.last(), Some(&0.95));
    assert!(found.windows(2).all(|pair| (pair[1] - pair[0] - 0.05).abs() < 1e-12), "{found:?}");
}

#[test]
fn a_loose_box_counts_up_to_its_overlap() {
    let bbox = BoundingBox { x_min: 0.0, y_min: 0.0, x_max: 100.0, y_max: 100.0 };
    let objects = [Object { class: "person".into(), bbox, crowd: false }];
    // An overlap of 0.78: a hit at 0.5, 0.55, 0.6, 0.65, 0.7 and 0.75.
    let bbox = BoundingBox { x_max: 78.0, ..bbox };
    let detections = [Detection { class: "person".into(), class_id: 0, score: 0.9, bbox }];
    let summary = summary(&["person", "cat"], &[Sample { objects: &objects, detections: &detections }]);
    assert!((summary.map50.unwrap() - 1.0).abs() < 1e-9);
    assert!((summary.map50_95.unwrap() - 0.6).abs() < 1e-9);
    let [person, cat] = summary.classes.as_slice() else { panic!("{summary:?}") };
    assert_eq!((person.objects, person.ap50_95), (1, summary.map50_95));
    assert!(person.curve50.unwrap().iter().all(|precision| (precision - 1.0).abs() < 1e-9));
    assert_eq!((cat.objects, cat.ap50, cat.ap50_95, cat.curve50), (0, None, None, None));
}
