//! The uplink against stub clouds that answer, refuse, dawdle, vanish and talk nonsense.

#![expect(clippy::unwrap_used, reason = "what a test cannot do, it reports by panicking")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::DefaultBodyLimit,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use edge_daemon::{
    frame::Frame,
    little::Judged,
    status::Counters,
    uplink::{Size, Uplink, UplinkSettings},
};
use image::RgbImage;
use protocol::record::{FrameRecord, FrameTiming, Outcome};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

fn answer(width: u32, height: u32) -> serde_json::Value {
    json!({
        "request_id": "r",
        "model": {"name": "big", "family": "yolov3-darknet53", "input_width": 256, "input_height": 128, "classes": ["person"]},
        "image": {"width": width, "height": height},
        "detections": [{"class": "person", "class_id": 0, "score": 0.9, "x_min": 0.0, "y_min": 0.0, "x_max": width, "y_max": height}],
        "timing": {"decode_ms": 1.0, "queue_ms": 2.0, "infer_ms": 3.0, "total_ms": 6.0},
    })
}

/// A cloud whose handler gets the request's ordinal number and headers.
async fn cloud<F, R>(handler: impl Fn(usize, HeaderMap, Bytes) -> F + Clone + Send + Sync + 'static) -> String
where
    F: Future<Output = R> + Send + 'static,
    R: IntoResponse + 'static,
{
    let requests = Arc::new(AtomicUsize::new(0));
    let infer = post(move |headers: HeaderMap, body: Bytes| {
        handler(requests.fetch_add(1, Ordering::SeqCst), headers, body)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/infer", infer).layer(DefaultBodyLimit::disable());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// A port on which nobody listens and that nobody else is given meanwhile.
fn taken_port() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket
}

struct Edge {
    uplink: Arc<Uplink>,
    task: JoinHandle<()>,
    stop: CancellationToken,
    counters: Arc<Counters>,
    records: Arc<Mutex<Vec<FrameRecord>>>,
}

impl Edge {
    fn start(url: &str, change: impl FnOnce(&mut UplinkSettings)) -> Self {
        let mut settings = UplinkSettings {
            cloud: url.parse().unwrap(),
            capacity: 4,
            wait_for_room: false,
            deadline: Duration::from_secs(20),
            uploads: 1,
            size: None,
            quality: 75,
            drain: Duration::from_millis(200),
        };
        change(&mut settings);
        let counters = Arc::new(Counters::default());
        let records: Arc<Mutex<Vec<FrameRecord>>> = Arc::default();
        let finished = {
            let (counters, records) = (Arc::clone(&counters), Arc::clone(&records));
            Arc::new(move |_: Arc<Frame>, record: FrameRecord| {
                counters.finished(&record);
                records.lock().unwrap().push(record);
            })
        };
        let uplink = Arc::new(Uplink::new(settings, Arc::clone(&counters), finished).unwrap());
        let stop = CancellationToken::new();
        let task = tokio::spawn(Arc::clone(&uplink).run(stop.clone()));
        Self { uplink, task, stop, counters, records }
    }

    fn submit(&self, number: u64) {
        let now = Instant::now();
        self.counters.judged(true, 1.0);
        self.uplink.submit(Judged {
            frame: Arc::new(Frame {
                number,
                captured_at: SystemTime::now(),
                arrived: now,
                media_time_us: None,
                image: RgbImage::from_fn(640, 320, |x, y| image::Rgb([x as u8, y as u8, 128])),
            }),
            edge: vec![],
            hard: true,
            timing: FrameTiming::default(),
            at: now,
        });
    }

    /// Waits until `count` frames have ended.
    async fn ended(&self, count: usize) {
        let wait = async {
            while self.records.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("frames end");
    }

    /// Lets the queue run empty; the records by frame number.
    async fn finish(self) -> Vec<FrameRecord> {
        self.uplink.close();
        tokio::time::timeout(Duration::from_secs(30), self.task).await.expect("the uplink ends").unwrap();
        assert_eq!(self.counters.snapshot().queued, 0, "every hard frame ends once");
        let mut records = std::mem::take(&mut *self.records.lock().unwrap());
        records.sort_by_key(|record| record.frame);
        records
    }
}

fn error(record: &FrameRecord) -> &str {
    record.upload.as_ref().unwrap().error.as_deref().unwrap()
}

#[tokio::test]
async fn an_answer_comes_back_in_the_frames_own_pixels() {
    let url = cloud(|_, headers, body| async move {
        assert_eq!(headers["content-type"], "image/jpeg");
        assert!(headers["x-request-id"].to_str().unwrap().contains('7'));
        let deadline: u64 = headers["x-deadline-ms"].to_str().unwrap().parse().unwrap();
        assert!((1..=20_000).contains(&deadline));
        assert_eq!(body[..3], [0xff, 0xd8, 0xff]);
        Json(answer(544, 272))
    })
    .await;
    let edge = Edge::start(&url, |_| {});
    edge.submit(7);
    let counters = Arc::clone(&edge.counters);
    let records = edge.finish().await;
    assert_eq!(records[0].outcome, Outcome::Answered);
    let bbox = records[0].cloud.as_ref().unwrap()[0].bbox;
    assert_eq!((bbox.x_max.round(), bbox.y_max.round()), (640.0, 320.0));
    let upload = records[0].upload.as_ref().unwrap();
    assert_eq!((upload.width, upload.height, upload.cloud_ms), (544, 272, Some(6.0)));
    assert!(upload.bytes > 0 && upload.round_trip_ms.is_some() && upload.error.is_none());
    assert!(records[0].timing.cloud_ms >= upload.round_trip_ms);
    let status = counters.snapshot();
    assert_eq!((status.uploaded, status.answered), (1, 1));
}

#[tokio::test]
async fn the_clouds_model_sets_the_size_unless_the_user_did() {
    for (given, expected) in [(None, 256), (Some(Size { width: 320, height: 320 }), 320)] {
        let url = cloud(|_, _, _| async { Json(answer(1, 1)) }).await;
        let edge = Edge::start(&url, |settings| settings.size = given);
        edge.submit(0);
        edge.ended(1).await;
        edge.submit(1);
        let records = edge.finish().await;
        assert_eq!(records[1].upload.as_ref().unwrap().width, expected);
    }
}

#[tokio::test]
async fn a_slow_cloud_gets_the_newest_and_the_oldest_give_way() {
    let url = cloud(|_, _, _| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Json(answer(1, 1))
    })
    .await;
    let edge = Edge::start(&url, |settings| settings.capacity = 2);
    edge.submit(0);
    tokio::time::sleep(Duration::from_millis(150)).await;
    (1..6).for_each(|number| edge.submit(number));
    edge.ended(6).await;
    let ended: Vec<_> = edge.records.lock().unwrap().iter().map(|r| (r.frame, r.outcome)).collect();
    use Outcome::{Answered, Displaced};
    assert_eq!(
        ended,
        [(1, Displaced), (2, Displaced), (3, Displaced), (0, Answered), (5, Answered), (4, Answered)]
    );
    edge.finish().await;
}

#[tokio::test]
async fn several_uploads_at_a_time_if_wanted() {
    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    let url = cloud(move |_, _, _| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait().await;
            Json(answer(1, 1))
        }
    })
    .await;
    let edge = Edge::start(&url, |settings| settings.uploads = 2);
    edge.submit(0);
    edge.submit(1);
    assert!(edge.finish().await.iter().all(|record| record.outcome == Outcome::Answered));
}

#[tokio::test]
async fn a_refusal_is_final_and_tells_why() {
    let requests = Arc::new(AtomicUsize::new(0));
    let url = cloud({
        let requests = Arc::clone(&requests);
        move |_, _, _| {
            requests.fetch_add(1, Ordering::SeqCst);
            let problem = json!({"type": "/problems/picture", "title": "t", "status": 422, "detail": "the picture is torn"});
            async move { (StatusCode::UNPROCESSABLE_ENTITY, Json(problem)) }
        }
    })
    .await;
    let edge = Edge::start(&url, |_| {});
    edge.submit(0);
    let records = edge.finish().await;
    assert_eq!(records[0].outcome, Outcome::Failed);
    assert!(error(&records[0]).contains("422") && error(&records[0]).contains("torn"));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nonsense_and_endless_answers_are_refusals() {
    for (body, expected) in
        [("{\"detections\":".to_owned(), "cannot be read"), ("x".repeat(5 << 20), "longer than")]
    {
        let url = cloud(move |_, _, _| {
            let body = body.clone();
            async move { body }
        })
        .await;
        let edge = Edge::start(&url, |_| {});
        edge.submit(0);
        let records = edge.finish().await;
        assert_eq!(records[0].outcome, Outcome::Failed);
        assert!(error(&records[0]).contains(expected), "{}", error(&records[0]));
        assert_eq!(records[0].detections(), records[0].edge);
    }
}

#[tokio::test]
async fn a_busy_cloud_is_asked_again_after_the_time_it_set() {
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let url = cloud({
        let times = Arc::clone(&times);
        move |request, _, _| {
            times.lock().unwrap().push(Instant::now());
            async move {
                let reply: Response = if request == 0 {
                    (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")]).into_response()
                } else {
                    Json(answer(1, 1)).into_response()
                };
                reply
            }
        }
    })
    .await;
    let edge = Edge::start(&url, |_| {});
    edge.submit(0);
    let counters = Arc::clone(&edge.counters);
    let records = edge.finish().await;
    assert_eq!(records[0].outcome, Outcome::Answered);
    assert!(records[0].upload.as_ref().unwrap().error.is_none());
    let times = times.lock().unwrap();
    assert!(times[1] - times[0] >= Duration::from_secs(1));
    assert_eq!(counters.snapshot().uploaded, 1, "a frame counts once, however often it is tried");
}

#[tokio::test]
async fn frames_wait_for_a_dead_cloud_until_their_deadlines() {
    let socket = taken_port();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let edge = Edge::start(&url, |settings| settings.deadline = Duration::from_millis(800));
    (0..3).for_each(|number| edge.submit(number));
    let records = edge.finish().await;
    assert!(records.iter().all(|record| record.outcome == Outcome::Expired), "{records:?}");
    assert!(error(&records[2]).contains("refused"), "{}", error(&records[2]));
}

#[tokio::test]
async fn a_cloud_that_comes_back_gets_what_still_waits() {
    let socket = taken_port();
    let edge = Edge::start(&format!("http://{}", socket.local_addr().unwrap()), |_| {});
    edge.submit(0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let router = Router::new().route("/infer", post(|| async { Json(answer(1, 1)) }));
    let listener = socket.listen(16).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    assert_eq!(edge.finish().await[0].outcome, Outcome::Answered);
}

#[tokio::test]
async fn a_connection_that_always_breaks_fails_in_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                tokio::io::AsyncReadExt::read(&mut socket, &mut [0; 1024]).await.unwrap();
            });
        }
    });
    let edge = Edge::start(&url, |_| {});
    edge.submit(0);
    assert_eq!(edge.finish().await[0].outcome, Outcome::Failed);
}

#[tokio::test]
async fn a_silent_cloud_costs_no_more_than_the_deadline() {
    let url = cloud(|_, _, _| std::future::pending::<()>()).await;
    let edge = Edge::start(&url, |settings| settings.deadline = Duration::from_millis(300));
    edge.submit(0);
    edge.submit(1);
    let records = edge.finish().await;
    assert!(records.iter().all(|record| record.outcome == Outcome::Expired));
    assert!(error(&records[1]).contains("deadline"));
}

#[tokio::test]
async fn a_stop_lets_the_wire_finish_and_records_the_rest() {
    for (answer_after, outcome) in [(400, Outcome::Answered), (60_000, Outcome::Expired)] {
        let url = cloud(move |_, _, _| async move {
            tokio::time::sleep(Duration::from_millis(answer_after)).await;
            Json(answer(1, 1))
        })
        .await;
        let edge = Edge::start(&url, |settings| settings.drain = Duration::from_secs(1));
        edge.submit(0);
        tokio::time::sleep(Duration::from_millis(150)).await;
        edge.submit(1);
        edge.stop.cancel();
        let records = edge.finish().await;
        assert_eq!(records[0].outcome, outcome);
        assert_eq!(records[1].outcome, Outcome::Expired);
        assert!(error(&records[1]).contains("shut down before"));
        assert_eq!(records[1].upload.as_ref().unwrap().bytes, 0);
    }
}
