use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::RgbImage;
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

fn model(
    name: &str,
    detect: impl Fn(&[RgbImage]) -> Result<Vec<Vec<Detection>>, String> + Send + 'static,
) -> Model {
    let info = ModelInfo {
        name: name.into(),
        family: "test".into(),
        input_width: 32,
        input_height: 32,
        classes: vec![],
    };
    // Batches of four pay: whatever their size, they take as long.
    let costs = BatchCosts::measure(4, |_| Ok::<_, ()>(Duration::from_micros(1))).unwrap();
    Model { info: Arc::new(info), costs, detect: Box::new(detect) }
}

struct Setup {
    admission: Arc<Admission>,
    worker: Arc<Worker>,
}

async fn start(
    detect: impl Fn(&[RgbImage]) -> Result<Vec<Vec<Detection>>, String> + Send + 'static,
) -> Setup {
    let admission = Admission::new(16);
    let worker = Worker::start(Arc::clone(&admission), 16).unwrap();
    assert!(worker.model().is_none());
    let model = model("test", detect);
    model.warm_up(&admission).unwrap();
    worker.install(model).await.unwrap();
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

/// Waits until the model is at work on something and nothing else waits.
async fn until_running(setup: &Setup) {
    while !setup.admission.is_running() || setup.admission.waiting() > 0 {
        tokio::task::yield_now().await;
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
    while setup.worker.work.max_capacity() - setup.worker.work.capacity() < 5 {
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

#[test]
fn a_model_that_does_not_run_is_told_before_it_is_used() {
    let broken = model("broken", |_| Err("no such device".into()));
    let error = broken.warm_up(&Admission::new(1)).unwrap_err();
    assert!(matches!(error, ModelError::WarmUp(reason) if reason == "no such device"));
}

/// Each batch is judged by one model, which its answers name; the old one is gone when its last batch is answered.
#[tokio::test]
async fn a_batch_ends_where_a_new_model_comes() {
    struct Gone(Arc<AtomicUsize>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let gone = Arc::new(AtomicUsize::new(0));
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (held, guard) = (Mutex::new(held), Gone(Arc::clone(&gone)));
    let setup = Arc::new(
        start(move |pictures| {
            let _ = &guard;
            // The warm-up is of this size.
            if pictures[0].width() != 32 {
                held.lock().unwrap().recv().unwrap();
            }
            Ok(finds_width(pictures))
        })
        .await,
    );
    let ask = |width| {
        let setup = Arc::clone(&setup);
        tokio::spawn(async move { setup.detect(width, None).await.unwrap().model.name.clone() })
    };
    let waiting = || setup.worker.work.max_capacity() - setup.worker.work.capacity();
    let until_waiting = async |count| {
        while waiting() != count {
            tokio::task::yield_now().await;
        }
    };
    let first = ask(1);
    // Taken up by the model: its place in the queue is free again.
    until_running(&setup).await;
    let before = [ask(2), ask(3)];
    until_waiting(2).await;
    let install = {
        let setup = Arc::clone(&setup);
        tokio::spawn(async move {
            setup.worker.install(model("new", |pictures| Ok(finds_width(pictures)))).await.unwrap();
        })
    };
    until_waiting(3).await;
    let after = [ask(4), ask(5)];
    until_waiting(5).await;
    assert_eq!((setup.worker.model().unwrap().name.as_str(), gone.load(Ordering::SeqCst)), ("test", 0));
    release.send(()).unwrap();
    release.send(()).unwrap();
    install.await.unwrap();
    assert_eq!((setup.worker.model().unwrap().name.as_str(), gone.load(Ordering::SeqCst)), ("new", 1));
    assert_eq!(first.await.unwrap(), "test");
    for asked in before {
        assert_eq!(asked.await.unwrap(), "test");
    }
    for asked in after {
        assert_eq!(asked.await.unwrap(), "new");
    }
}
