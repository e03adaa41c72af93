//! The clip: its length, its times and its ground truth.

use std::fs;

use demo_renderer::clip::{self, Options, Take, schedule};
use demo_renderer::render::Canvas;
use demo_renderer::script::PARTS;
use demo_renderer::truth::Coco;

#[test]
fn the_clip_is_long_enough_and_its_parts_follow_each_other() {
    let frames = schedule(25);
    assert!(frames.len() >= 32 * 25, "{} frames", frames.len());
    assert!(frames.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    for (number, part) in PARTS.iter().enumerate() {
        let times: Vec<f32> = frames.iter().filter(|frame| frame.0 == number).map(|frame| frame.1).collect();
        assert_eq!(times[0], 0.0);
        assert!(times.windows(2).all(|pair| (pair[1] - pair[0] - 0.04).abs() < 1e-4));
        assert!((times.len() as f32 / 25.0 - part.seconds).abs() < 0.05);
    }
}

#[test]
fn frames_and_truth_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        frames: folder.path().join("clip.rgb"),
        truth: folder.path().join("clip.coco.json"),
        seed: 7,
        width: 160,
        height: 90,
        rate: 2,
        threads: None,
    };
    clip::make(&options).unwrap();
    let coco: Coco = serde_json::from_slice(&fs::read(&options.truth).unwrap()).unwrap();
    let bytes = fs::metadata(&options.frames).unwrap().len();
    assert_eq!(bytes, coco.images.len() as u64 * 160 * 90 * 3);
    for (number, image) in coco.images.iter().enumerate() {
        assert_eq!(image.id, number as u64);
        assert_eq!(image.file_name, format!("{number:06}"));
        assert_eq!(image.time_us, Some(number as u64 * 500_000));
    }
    let first_of_part = [0.0, PARTS[0].seconds, PARTS[0].seconds + PARTS[1].seconds, f32::INFINITY];
    for part in 0..3 {
        for class in 1..=4 {
            let found = coco.annotations.iter().any(|annotation| {
                let time = annotation.image_id as f32 * 0.5;
                annotation.category_id == class
                    && annotation.iscrowd == 0
                    && time >= first_of_part[part]
                    && time < first_of_part[part + 1]
            });
            assert!(found, "no class {class} to score in part {part}");
        }
    }
}

#[test]
fn a_frame_is_the_same_whenever_it_is_made() {
    let take = Take::new(&PARTS[2], 7, 160, 90);
    let mut canvas = Canvas::default();
    let first = take.frame(&mut canvas, 3.0);
    take.frame(&mut canvas, 4.0);
    let again = take.frame(&mut canvas, 3.0);
    assert_eq!(first.1, again.1);
    assert!(first.0 == again.0, "the pixels differ");
}

#[test]
fn a_clip_that_cannot_be_written_is_named_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        frames: folder.path().join("clip.rgb"),
        truth: folder.path().join("missing/clip.coco.json"),
        seed: 7,
        width: 64,
        height: 64,
        rate: 1,
        threads: None,
    };
    let error = clip::make(&options).unwrap_err();
    assert!(format!("{error:#}").contains("missing/clip.coco.json"), "{error:#}");
    assert!(!options.frames.exists());
}
