use super::*;
use crate::Family;
use crate::testing::write_random_model;

const CLASSES: [&str; 4] = ["person", "helmet", "helmet_on", "helmet_off"];

fn load(family: Family, options: &LoadOptions) -> Result<Detector, LoadError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("random.safetensors");
    write_random_model(&path, family, 0.125, &CLASSES, (96, 160), 1).unwrap();
    Detector::load(&path, options)
}

/// A picture with something to see in it.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 7) as u8, (y * 11) as u8, (x * y) as u8]))
}

#[test]
fn every_family_loads_and_detects() {
    for family in Family::ALL {
        let options = LoadOptions { score_threshold: Some(0.05), ..LoadOptions::default() };
        let detector = load(family, &options).unwrap();
        assert_eq!(detector.info().family, family.name());
        assert_eq!((detector.info().input_height, detector.info().input_width), (96, 160));
        assert_eq!(detector.info().classes, CLASSES);
        let found = detector.detect(&[picture(320, 200)]).unwrap();
        assert_eq!(found.len(), 1);
        assert!(!found[0].is_empty(), "{family} found nothing");
        for pair in found[0].windows(2) {
            let ordered = pair[0].class_id < pair[1].class_id
                || (pair[0].class_id == pair[1].class_id && pair[0].score >= pair[1].score);
            assert!(ordered, "{pair:?}");
        }
    }
}

#[test]
fn a_batch_finds_what_single_pictures_find() {
    for family in Family::ALL {
        let options = LoadOptions { score_threshold: Some(0.05), ..LoadOptions::default() };
        let detector = load(family, &options).unwrap();
        let pictures = [picture(320, 200), picture(33, 77), picture(1, 1)];
        let batch = detector.detect(&pictures).unwrap();
        for (picture, found) in pictures.iter().zip(&batch) {
            let single = detector.detect(std::slice::from_ref(picture)).unwrap();
            assert_eq!(single[0].len(), found.len());
            for (a, b) in single[0].iter().zip(found) {
                assert_eq!(a.class_id, b.class_id);
                assert!((a.score - b.score).abs() < 1e-5, "{a:?} {b:?}");
            }
        }
    }
}

#[test]
fn threads_may_share_a_detector() {
    let detector = load(Family::Yolov3Resnet18, &LoadOptions::default()).unwrap();
    let expected = detector.detect(&[picture(64, 64)]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(detector.detect(&[picture(64, 64)]).unwrap(), expected));
        }
    });
}

#[test]
fn no_pictures_are_no_work_and_a_picture_without_pixels_is_an_error() {
    let detector = load(Family::Yolov3Resnet18, &LoadOptions::default()).unwrap();
    assert!(detector.detect(&[]).unwrap().is_empty());
    let error = detector.detect(&[picture(2, 2), RgbImage::new(0, 5)]).unwrap_err();
    assert_eq!(error.to_string(), "picture 1 of the batch is 0x5: a picture needs at least one pixel");
}

#[test]
fn options_replace_the_files_values() {
    let options = LoadOptions { input: Some((64, 96)), ..LoadOptions::default() };
    let detector = load(Family::Yolov3Darknet53, &options).unwrap();
    assert_eq!((detector.info().input_height, detector.info().input_width), (64, 96));
    detector.detect(&[picture(50, 40)]).unwrap();
    for (options, message) in [
        (LoadOptions { input: Some((64, 100)), ..LoadOptions::default() }, "option input: height 64"),
        (LoadOptions { input: Some((0, 64)), ..LoadOptions::default() }, "option input: height 0"),
        (
            LoadOptions { score_threshold: Some(1.5), ..LoadOptions::default() },
            "option score_threshold: 1.5 is not between 0 and 1",
        ),
        (
            LoadOptions { iou_threshold: Some(f32::NAN), ..LoadOptions::default() },
            "option iou_threshold: NaN is not between 0 and 1",
        ),
    ] {
        let error = load(Family::Yolov3Resnet18, &options).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_build_without_cuda_says_so() {
    let options = LoadOptions { device: DeviceKind::Cuda(1), ..LoadOptions::default() };
    let error = load(Family::Yolov3Resnet18, &options).unwrap_err().to_string();
    assert_eq!(
        error,
        "CUDA device 1: this program was built without CUDA; run on the processor, or build it with `cargo build \
         --features cuda`"
    );
}

#[test]
fn a_precision_that_a_device_lacks_is_refused() {
    for (device, precision, said) in [
        (DeviceKind::Cpu, Precision::F16, "f16 runs on a GPU only; on the processor, bf16 is as small"),
        (
            DeviceKind::CpuThroughCandle,
            Precision::Bf16,
            "bf16 does not run on that device, which has f32, f16",
        ),
        (DeviceKind::Cuda(0), Precision::Int8, "int8 does not run on that device, which has f32, f16, bf16"),
    ] {
        let options = LoadOptions { device, precision: Some(precision), ..LoadOptions::default() };
        let error = load(Family::Yolov3Resnet18, &options).unwrap_err().to_string();
        assert_eq!(error, format!("option precision: {said}"));
    }
}

#[test]
fn halves_find_what_single_precision_finds() {
    for family in [Family::Yolov3Resnet18, Family::Yolov8] {
        let through_candle = |precision| {
            let options = LoadOptions {
                device: DeviceKind::CpuThroughCandle,
                precision: Some(precision),
                score_threshold: Some(0.05),
                ..LoadOptions::default()
            };
            let detector = load(family, &options).unwrap();
            assert_eq!((detector.precision(), detector.gpu()), (precision, None));
            detector.detect_timed(&[picture(320, 200), picture(33, 77)]).unwrap()
        };
        let ((single, _), (halves, stages)) =
            (through_candle(Precision::F32), through_candle(Precision::F16));
        assert!(stages.network > Duration::ZERO);
        for (single, halves) in single.iter().zip(&halves) {
            let best = |found: &[Detection]| found.iter().map(|one| one.score).fold(0.0, f32::max);
            assert!((best(single) - best(halves)).abs() < 0.01, "{family}: {single:?} {halves:?}");
        }
    }
}
