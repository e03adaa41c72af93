//! Ground truth and detections in COCO's form are read and judged within bounds of memory, or they are an error that can
//! be printed. The two are one input, with a zero byte between them.
#![no_main]

use detector::evaluate::{Sample, coco, summary};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    sluice_fuzz::bounded(data, |data| {
        let end = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
        let read = coco::Dataset::from_json(&data[..end]).and_then(|dataset| {
            let detections = data.get(end + 1..).unwrap_or(b"[]");
            Ok((coco::detections_from_json(detections, &dataset)?, dataset))
        });
        let (detections, dataset) = match read {
            Ok(read) => read,
            Err(error) => return assert!(!error.to_string().is_empty()),
        };
        let pictures = dataset.images.iter().zip(&detections);
        let samples: Vec<_> =
            pictures.map(|(image, found)| Sample { objects: &image.objects, detections: found }).collect();
        for class in summary(&dataset.classes, &samples).classes {
            let figures = [class.ap50, class.ap50_95].into_iter().flatten();
            figures.for_each(|figure| assert!((0.0..=1.0).contains(&figure), "{}: {figure}", class.class));
        }
        let written = coco::detections_to_json(&detections, &dataset).expect("plain numbers");
        coco::detections_from_json(&written, &dataset).expect("what was written is read");
    });
});
