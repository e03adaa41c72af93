//! Results of a run against ground truth.

mod timeline;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use detector::{
    DetectError, Detector, LoadOptions,
    evaluate::{Evaluation, Sample, average_precision, coco::Dataset},
};
use protocol::{Detection, record::FrameRecord};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    cli::ScoreArgs,
    lock::lock,
    results,
    source::{self, Deliver, Location, Picture, RtspTransport, SourceSettings},
};
use timeline::Timeline;

/// Between two lines of progress, in frames.
const PROGRESS: usize = 100;

/// The verdict: average precision at an intersection over union of 0.5, in `0..=1`; null where no object counts.
#[derive(Debug, Serialize)]
struct Score {
    /// Mean over the classes, of the little model's boxes.
    map50_edge: Option<f64>,
    /// Of the final boxes: the cloud's where it answered, else the edge's.
    map50_joint: Option<f64>,
    /// Of the big model's boxes, had it seen every frame as it is in the video.
    map50_cloud: Option<f64>,
    /// Records whose frame is in the ground truth; one frame may have several.
    frames_scored: usize,
    /// Different frames among them.
    distinct_frames: usize,
    /// Records whose frame is not in the ground truth, or that carry no media time.
    frames_unmatched: usize,
    /// Each class by name.
    classes: serde_json::Map<String, serde_json::Value>,
}

/// Judges the results and prints the verdict as JSON.
///
/// # Errors
///
/// A file that cannot be read, or results that share no frame with the ground truth.
pub fn run(arguments: &ScoreArgs) -> Result<()> {
    let records = results::read(&arguments.results)?;
    let truth = Dataset::read(&arguments.truth).with_context(|| arguments.truth.display().to_string())?;
    let timeline = Timeline::new(truth.images.iter().map(|image| image.time_us));
    let scored: Vec<(usize, &FrameRecord)> =
        records.iter().filter_map(|record| Some((timeline.find(record.media_time_us?)?, record))).collect();
    if scored.is_empty() {
        bail!(
            "none of the {} frames in {} is in {}: their media_time_us match no image's time_us. Is it the ground \
             truth of the video that was watched?",
            records.len(),
            arguments.results.display(),
            arguments.truth.display()
        );
    }
    let options =
        LoadOptions { device: arguments.device, threads: arguments.threads, ..LoadOptions::default() };
    let big = Detector::load(&arguments.model, &options)?;
    let wanted = scored.iter().map(|(image, _)| *image);
    let cloud = detect_in_video(&Location::File(arguments.video.clone()), &timeline, wanted, big)?;
    let score = score(&truth, &scored, &cloud, records.len() - scored.len())?;
    println!("{}", serde_json::to_string_pretty(&score)?);
    Ok(())
}

fn score(
    truth: &Dataset,
    scored: &[(usize, &FrameRecord)],
    cloud: &HashMap<usize, Found>,
    frames_unmatched: usize,
) -> Result<Score> {
    let evaluate = |found: &dyn Fn(usize, &FrameRecord) -> Option<Vec<Detection>>| {
        let found: Option<Vec<_>> = scored.iter().map(|(image, record)| found(*image, record)).collect();
        let found = found.context(
            "the video ends before the last frame of the results; is it the one that was watched?",
        )?;
        let samples: Vec<_> = scored
            .iter()
            .zip(&found)
            .map(|((image, _), detections)| Sample { objects: &truth.images[*image].objects, detections })
            .collect();
        anyhow::Ok(average_precision(&truth.classes, &samples))
    };
    let in_truth = |image: usize, detections: &[Detection], width: u32, height: u32| {
        let image = &truth.images[image];
        let (x_factor, y_factor) = (image.width as f32 / width as f32, image.height as f32 / height as f32);
        let scaled = |d: &Detection| Detection { bbox: d.bbox.scaled(x_factor, y_factor), ..d.clone() };
        Some(detections.iter().map(scaled).collect())
    };
    let edge = evaluate(&|image, record| in_truth(image, &record.edge, record.width, record.height))?;
    let joint = evaluate(&|image, record| in_truth(image, record.detections(), record.width, record.height))?;
    let cloud = evaluate(&|image, _| {
        let found = cloud.get(&image)?;
        in_truth(image, &found.detections, found.width, found.height)
    })?;
    let mut distinct: Vec<usize> = scored.iter().map(|(image, _)| *image).collect();
    distinct.sort_unstable();
    distinct.dedup();
    Ok(Score {
        classes: classes(&edge, &joint, &cloud),
        map50_edge: edge.mean,
        map50_joint: joint.mean,
        map50_cloud: cloud.mean,
        frames_scored: scored.len(),
        distinct_frames: distinct.len(),
        frames_unmatched,
    })
}

fn classes(
    edge: &Evaluation,
    joint: &Evaluation,
    cloud: &Evaluation,
) -> serde_json::Map<String, serde_json::Value> {
    let rows = edge.classes.iter().zip(&joint.classes).zip(&cloud.classes);
    rows.map(|((edge, joint), cloud)| {
        let row = serde_json::json!({
            "objects": edge.objects,
            "ap50_edge": edge.average_precision,
            "ap50_joint": joint.average_precision,
            "ap50_cloud": cloud.average_precision,
        });
        (edge.class.clone(), row)
    })
    .collect()
}

/// What the big model found in one frame, in pixels of a picture of this size.
struct Found {
    detections: Vec<Detection>,
    width: u32,
    height: u32,
}

/// Runs `big` once over each wanted image as it is in the video.
fn detect_in_video(
    video: &Location,
    timeline: &Timeline,
    wanted: impl Iterator<Item = usize>,
    big: Detector,
) -> Result<HashMap<usize, Found>> {
    source::load_elements(video)?;
    let settings = SourceSettings {
        location: video.clone(),
        transport: RtspTransport::Auto,
        rtsp_latency: Duration::ZERO,
        stall: Duration::MAX,
        unpaced: true,
        repeat: false,
    };
    let found: Arc<Mutex<HashMap<usize, Option<Found>>>> =
        Arc::new(Mutex::new(wanted.map(|image| (image, None)).collect()));
    let failure: Arc<Mutex<Option<DetectError>>> = Arc::default();
    let stop = CancellationToken::new();
    let deliver: Deliver = {
        let (found, failure, stop) = (Arc::clone(&found), Arc::clone(&failure), stop.clone());
        let timeline = timeline.clone();
        Arc::new(move |picture: Picture| {
            let Some(image) = picture.media_time_us.and_then(|time| timeline.find(time)) else { return true };
            let mut found = lock(&found);
            let Some(slot @ None) = found.get_mut(&image) else { return true };
            let (width, height) = picture.image.dimensions();
            match big.detect(&[picture.image]) {
                Ok(batch) => {
                    let detections = batch.into_iter().next().unwrap_or_default();
                    *slot = Some(Found { detections, width, height });
                }
                Err(error) => {
                    *lock(&failure) = Some(error);
                    stop.cancel();
                    return false;
                }
            }
            let done = found.values().filter(|slot| slot.is_some()).count();
            if done % PROGRESS == 0 || done == found.len() {
                info!("big model: {done} of {} frames", found.len());
            }
            if done == found.len() {
                stop.cancel();
            }
            true
        })
    };
    source::run(&settings, &deliver, &stop, || {})?;
    if let Some(error) = lock(&failure).take() {
        return Err(error.into());
    }
    let found = std::mem::take(&mut *lock(&found));
    Ok(found.into_iter().filter_map(|(image, found)| Some((image, found?))).collect())
}
