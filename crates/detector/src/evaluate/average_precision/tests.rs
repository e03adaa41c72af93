use super::*;

/// A square of 10 pixels, `x` pixels from the left.
fn at(x: f32) -> BoundingBox {
    BoundingBox { x_min: x, y_min: 0.0, x_max: x + 10.0, y_max: 10.0 }
}

fn object(x: f32) -> Object {
    Object { class: "person".into(), bbox: at(x), crowd: false }
}

fn found(x: f32, score: f32) -> Detection {
    Detection { class: "person".into(), class_id: 0, score, bbox: at(x) }
}

/// The average precision of one class in one picture.
fn score(objects: &[Object], detections: &[Detection]) -> Option<f64> {
    let evaluation = average_precision(&["person"], &[Sample { objects, detections }]);
    assert_eq!(evaluation.mean, evaluation.classes[0].average_precision);
    evaluation.mean
}

fn assert_score(objects: &[Object], detections: &[Detection], expected: f64) {
    let found = score(objects, detections).unwrap();
    assert!((found - expected).abs() < 1e-9, "{found} instead of {expected}");
}

#[test]
fn all_or_nothing() {
    assert_score(&[object(0.0), object(50.0)], &[found(50.0, 0.9), found(0.0, 0.8)], 1.0);
    assert_score(&[object(0.0)], &[], 0.0);
    assert_score(&[object(0.0)], &[found(50.0, 0.9)], 0.0);
    assert_eq!(score(&[], &[found(0.0, 0.9)]), None);
    assert_eq!(score(&[], &[]), None);
}

#[test]
fn half_of_the_objects_at_full_precision() {
    // Recall stops at 0.5: the 51 recalls 0, 0.01, …, 0.5 read 1, the others 0.
    assert_score(&[object(0.0), object(50.0)], &[found(0.0, 0.9)], 51.0 / 101.0);
}

#[test]
fn a_false_alarm_between_two_hits() {
    // Hit, miss, hit: precision 1 up to a recall of 0.5 (51 readings), then 2/3 (50 readings).
    let detections = [found(0.0, 0.9), found(200.0, 0.8), found(50.0, 0.7)];
    assert_score(&[object(0.0), object(50.0)], &detections, (51.0 + 50.0 * 2.0 / 3.0) / 101.0);
}

#[test]
fn a_second_detection_of_an_object_is_a_false_alarm_and_precision_is_made_monotone() {
    // Double, then both others: hit, false alarm, hit, hit: precisions 1, 1/2, 2/3, 3/4, so that every recall
    // above 1/3 reads 3/4. The recalls up to 1/3 are 0 to 0.33: 34 of them.
    let objects = [object(0.0), object(50.0), object(100.0)];
    let detections = [found(0.0, 0.9), found(1.0, 0.8), found(50.0, 0.7), found(100.0, 0.6)];
    assert_score(&objects, &detections, (34.0 + 67.0 * 0.75) / 101.0);
}

#[test]
fn an_overlap_of_one_half_is_a_hit() {
    // 10 wide and 5 wide inside: exactly 0.5.
    let half = |width: f32| {
        let bbox = BoundingBox { x_max: width, ..at(0.0) };
        [Detection { bbox, ..found(0.0, 0.9) }]
    };
    assert_score(&[object(0.0)], &half(5.0), 1.0);
    assert_score(&[object(0.0)], &half(4.99), 0.0);
}

#[test]
fn the_better_overlap_is_taken_even_if_another_object_loses_it() {
    // The first detection overlaps both objects by more than half, the second more; the second detection then
    // finds only the first object free.
    let objects = [object(0.0), object(3.0)];
    assert_score(&objects, &[found(2.0, 0.9), found(0.5, 0.8)], 1.0);
}

#[test]
fn a_crowd_excuses_any_number_and_is_no_object() {
    let crowd = |width: f32| Object {
        crowd: true,
        bbox: BoundingBox { x_max: 100.0 + width, ..at(100.0) },
        ..object(0.0)
    };
    let detections = [found(100.0, 0.9), found(110.0, 0.85), found(120.0, 0.8), found(0.0, 0.7)];
    assert_score(&[object(0.0), crowd(100.0)], &detections, 1.0);
    // Half inside is enough, less is not: the share counts of the detection's own area.
    assert_score(&[object(0.0), crowd(5.0)], &[found(100.0, 0.9), found(0.0, 0.7)], 1.0);
    assert_score(&[object(0.0), crowd(4.0)], &[found(100.0, 0.9), found(0.0, 0.7)], 0.5);
    // Only crowds: nothing to score.
    assert_eq!(score(&[crowd(100.0)], &[found(100.0, 0.9)]), None);
}

#[test]
fn an_object_goes_before_a_crowd_that_overlaps_more() {
    let crowd = Object { crowd: true, bbox: at(1.0), ..object(0.0) };
    assert_score(&[crowd, object(0.0)], &[found(1.0, 0.9)], 1.0);
}

#[test]
fn only_the_hundred_best_of_a_picture_count() {
    let mut detections: Vec<_> = (0..100).map(|i| found(1000.0 + 20.0 * i as f32, 0.9)).collect();
    detections.push(found(0.0, 0.1));
    assert_score(&[object(0.0)], &detections, 0.0);
    detections[100].score = 0.95;
    assert_score(&[object(0.0)], &detections, 1.0);
}

#[test]
fn classes_are_apart_and_the_mean_is_over_those_with_objects() {
    let helmet = Object { class: "helmet".into(), ..object(0.0) };
    let objects = [object(0.0), helmet];
    let detections = [found(0.0, 0.9), Detection { class: "unknown".into(), ..found(0.0, 0.9) }];
    let sample = Sample { objects: &objects, detections: &detections };
    let evaluation = average_precision(&["person", "helmet", "cat"], &[sample]);
    let scores: Vec<_> = evaluation.classes.iter().map(|class| class.average_precision).collect();
    assert_eq!(scores.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false]);
    assert!((scores[0].unwrap() - 1.0).abs() < 1e-9 && scores[1] == Some(0.0));
    assert!((evaluation.mean.unwrap() - 0.5).abs() < 1e-9);
    assert_eq!(evaluation.classes.iter().map(|class| class.objects).collect::<Vec<_>>(), [1, 1, 0]);
}

#[test]
fn pictures_are_judged_apart_and_ranked_together() {
    // The first picture's detection lies where the second's object is: a false alarm, ranked first.
    let objects = [object(0.0)];
    let (wrong, right) = ([found(50.0, 0.9)], [found(0.0, 0.8)]);
    let samples =
        [Sample { objects: &[], detections: &wrong }, Sample { objects: &objects, detections: &right }];
    let evaluation = average_precision(&["person"], &samples);
    assert!((evaluation.mean.unwrap() - 0.5).abs() < 1e-9);
    assert_eq!(average_precision::<&str>(&[], &samples).mean, None);
}
