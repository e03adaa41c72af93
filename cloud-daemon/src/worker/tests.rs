use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use protocol::BoundingBox;

use super::*;
use crate::decoding::Decoding;
use crate::upload::Uploads;

/// A model that finds, in each picture, two objects whose class index is the picture's width.
fn finds_width(pictures: &[RgbImage]) -> Vec<Vec<Detection>> {
    let object = |picture: &RgbImage, score| Detection {
        class: "width".into(),
        class_id: picture.width(),
        score,
        bbox: BoundingBox { x_min: 0.0, y_min: 0.0, x_max: 1.0, y_max: 1.0 },
    };
    pictures.iter().map(|picture| vec![object(picture, 0.3), object(picture, 0.7)]).collect()
}

fn info() -> ModelInfo {
    ModelInfo {
        name: "test".into(),
        family: "test".into(),
        input_width: 32,
        input_height: 32,
        classes: vec![],
    }
}

struct Setup {
    admission: Arc<Admission>,
    worker: Arc<Worker>,
}

async fn start(
    detect: impl Fn(&[RgbImage]) -> Result<Vec<Vec<Detection>>, String> + Send + 'static,
) -> Setup {
    let admission = Admission::new(16);
    let load = move || Ok(Model { info: info(), detect: Box::new(detect) });
    let (worker, ready) = Worker::start(load, Arc::clone(&admission), 16, 4);
    ready.await.unwrap().unwrap();
    Setup { admission, worker: Arc::new(worker) }
}

/// A decoded picture of that width.
async fn decoded(width: u32) -> Decoded {
    let mut file = std::io::Cursor::new(Vec::new());
    RgbImage::new(width, 8).write_to(&mut file, image::ImageFormat::Png).unwrap();
    let uploads = Uploads::new(1 << 20, 0);
    let upload = uploads.read(&axum::http::HeaderMap::new(), file.into_inner().into(), None).await.unwrap();
    Decoding::new(1, 1 << 20).decode(upload).await.unwrap()
}

impl Setup {
    async fn detect(&self, width: u32, deadline: Option<Instant>) -> Result<Answer, Refusal> {
        let ticket = self.admission.admit(None)?;
        self.worker.detect(decoded(width).await, deadline, ticket).await
    }
}

#[tokio::test]
async fn those_who_wait_go_together_and_each_gets_its_own() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sizes);
    let setup = Arc::new(
        start(move |pictures| {
            seen.lock().unwrap().push(pictures.len());
            // The first, after the warm-up, is held until all others wait.
            if seen.lock().unwrap().len() == 2 {
                held.lock().unwrap().recv().unwrap();
            }
            Ok(finds_width(pictures))
        })
        .await,
    );
    let ask = |width| {
        let setup = Arc::clone(&setup);
        tokio::spawn(async move { (width, setup.detect(width, None).await.unwrap()) })
    };
    let mut callers = vec![ask(1)];
    while sizes.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    callers.extend((2..=6).map(ask));
    while setup.worker.jobs.max_capacity() - setup.worker.jobs.capacity() < 5 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    for caller in callers {
        let (width, answer) = caller.await.unwrap();
        assert_eq!(answer.detections.iter().map(|d| d.class_id).collect::<Vec<_>>(), [width, width]);
        assert!(answer.detections[0].score > answer.detections[1].score);
    }
    assert_eq!(*sizes.lock().unwrap(), [1, 1, 4, 1]);
    assert_eq!(setup.admission.waiting(), 0);
}

#[tokio::test]
async fn a_deadline_that_passed_costs_the_model_nothing() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let setup = start(move |pictures| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(finds_width(pictures))
    })
    .await;
    assert_eq!(setup.detect(1, Some(Instant::now())).await, Err(Refusal::DeadlinePassed));
    assert_eq!(runs.load(Ordering::SeqCst), 1, "the warm-up alone");
}

#[tokio::test]
async fn failures_and_panics_are_answered_and_survived() {
    let setup = start(|pictures| match pictures[0].width() {
        1 => Err("out of memory".into()),
        2 => panic!("a fault in the model"),
        3 => Ok(vec![]),
        _ => Ok(finds_width(pictures)),
    })
    .await;
    for (width, reason) in [(1, "out of memory"), (2, "it panicked"), (3, "0 results for 1 pictures")] {
        let failed = Refusal::ModelFailed { reason: reason.into() };
        assert_eq!(setup.detect(width, None).await, Err(failed));
    }
    assert!(setup.detect(4, None).await.is_ok());
}

#[tokio::test]
async fn a_model_that_does_not_run_is_not_ready() {
    let load = || Ok(Model { info: info(), detect: Box::new(|_: &[RgbImage]| Err("no such device".into())) });
    let (worker, ready) = Worker::start(load, Admission::new(1), 1, 1);
    assert!(matches!(ready.await.unwrap(), Err(StartError::WarmUp(reason)) if reason == "no such device"));
    assert!(worker.model().is_none());
}
