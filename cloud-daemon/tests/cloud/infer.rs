//! What `POST /infer` answers, and what it refuses.

use std::collections::HashSet;

use image::ImageFormat;
use protocol::infer::{ImageSize, InferResponse};

use crate::support::{Daemon, exchange, get, infer, jpeg, picture};

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    picture(320, 200).write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// The PNG `file` with another size in its header.
fn with_size(mut file: Vec<u8>, width: u32, height: u32) -> Vec<u8> {
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = !file[12..29].iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 },
        )
    });
    file[29..33].copy_from_slice(&checksum.to_be_bytes());
    file
}

#[test]
fn a_photo_is_answered_with_detections() {
    let daemon = Daemon::start(&[]);
    let reply =
        infer(daemon.address, "content-type: image/jpeg\r\nx-request-id: photo-1\r\n", &jpeg(640, 360));
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-request-id"), Some("photo-1"));
    let answer: InferResponse = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(answer.request_id, "photo-1");
    assert_eq!(answer.image, ImageSize { width: 640, height: 360 });
    assert_eq!(answer.model.classes, ["person", "helmet"]);
    assert_eq!((answer.model.input_width, answer.model.input_height), (96, 96));
    assert!(!answer.detections.is_empty());
    assert!(answer.detections.is_sorted_by(|a, b| a.score >= b.score));
    for detection in &answer.detections {
        let bbox = detection.bbox;
        // An object at the picture's edge may reach beyond it, but its box overlaps the picture.
        let inside = bbox.x_min < 640.0 && bbox.y_min < 360.0 && bbox.x_max > 0.0 && bbox.y_max > 0.0;
        assert!(inside && bbox.area() > 0.0, "{bbox:?}");
    }
    let timing = answer.timing;
    assert!(timing.decode_ms > 0.0 && timing.infer_ms > 0.0, "{timing:?}");
    assert!(timing.total_ms >= timing.decode_ms + timing.queue_ms, "{timing:?}");
}

#[test]
fn the_content_counts_not_what_it_is_declared_to_be() {
    let daemon = Daemon::start(&[]);
    for (format, declared) in
        [(ImageFormat::Jpeg, "text/plain"), (ImageFormat::Png, "image/jpeg"), (ImageFormat::WebP, "nonsense")]
    {
        let reply = infer(daemon.address, &format!("content-type: {declared}\r\n"), &encoded(format));
        let answer: InferResponse = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(answer.image, ImageSize { width: 320, height: 200 });
        assert_eq!(reply.header("x-request-id"), Some(answer.request_id.as_str()));
    }
}

#[test]
fn every_refusal_is_a_problem_and_costs_no_memory() {
    let daemon = Daemon::start(&[]);
    let address = daemon.address;
    let photo = jpeg(640, 360);
    assert_eq!(infer(address, "", &photo).status, 200);
    let before = daemon.peak_memory();

    let text = "a text file\n".repeat(1000);
    let (png, webp) = (encoded(ImageFormat::Png), encoded(ImageFormat::WebP));
    let vast = with_size(png.clone(), 30_000, 30_000);
    let gif = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;";
    let cases: [(&str, &[u8], u16, &str); 9] = [
        ("empty", b"", 400, "empty-body"),
        ("text", text.as_bytes(), 415, "unsupported-format"),
        ("GIF", gif, 415, "unsupported-format"),
        ("JPEG cut short", &photo[..photo.len() / 2], 422, "undecodable"),
        ("JPEG without its end", &photo[..photo.len() - 2], 422, "undecodable"),
        ("PNG cut short", &png[..png.len() / 2], 422, "undecodable"),
        ("WebP cut short", &webp[..webp.len() - 9], 422, "undecodable"),
        ("JPEG's first bytes", &photo[..3], 422, "undecodable"),
        ("vast PNG", &vast, 413, "too-many-pixels"),
    ];
    for (name, body, status, kind) in cases {
        let reply = infer(address, "", body);
        assert_eq!(reply.status, status, "{name}: {reply:?}");
        assert_eq!(reply.problem().kind, format!("/problems/{kind}"), "{name}");
    }

    let large = vec![0xFF; 100_000_000];
    for length in ["content-length: 100000000", "transfer-encoding: chunked"] {
        let head = format!("POST /infer HTTP/1.1\r\nhost: test\r\n{length}\r\n\r\n");
        let head = if length.starts_with('t') { head + "5f5e100\r\n" } else { head };
        let reply = exchange(address, &head, &large);
        assert_eq!(reply.problem().kind, "/problems/body-too-large", "{length}");
        assert_eq!(reply.status, 413);
    }
    let asked =
        "POST /infer HTTP/1.1\r\nhost: test\r\ncontent-length: 100000000\r\nexpect: 100-continue\r\n\r\n";
    assert_eq!(exchange(address, asked, b"").status, 413);

    let grown = daemon.peak_memory() - before;
    assert!(grown < 64 << 20, "{} MiB more", grown >> 20);
    assert_eq!(infer(address, "", &photo).status, 200);
}

#[test]
fn other_paths_methods_and_headers() {
    let daemon = Daemon::start(&[]);
    let address = daemon.address;
    let unknown = get(address, "/predict");
    assert_eq!((unknown.status, unknown.problem().kind.as_str()), (404, "/problems/unknown-path"));
    let wrong = get(address, "/infer");
    assert_eq!((wrong.status, wrong.problem().kind.as_str()), (405, "/problems/wrong-method"));
    assert_eq!(wrong.header("allow"), Some("POST"));
    for value in ["soon", "-1", "1.5"] {
        let bad = infer(address, &format!("x-deadline-ms: {value}\r\n"), &jpeg(64, 64));
        assert_eq!((bad.status, bad.problem().kind.as_str()), (400, "/problems/bad-header"));
    }
    let long = infer(address, &format!("x-request-id: {}\r\n", "x".repeat(500)), &jpeg(64, 64));
    assert_ne!(long.header("x-request-id").unwrap().len(), 500);

    assert_eq!(get(address, "/healthz").body, b"alive\n");
    assert!(String::from_utf8(get(address, "/").body).unwrap().contains("POST /infer"));
    let metrics = String::from_utf8(get(address, "/metrics").body).unwrap();
    assert!(metrics.contains(r#"sluice_cloud_requests_total{path="/infer",status="400"} 3"#), "{metrics}");
    assert!(metrics.contains("sluice_cloud_infer_seconds_count 1"), "{metrics}");
    assert!(metrics.contains("sluice_cloud_waiting 0"), "{metrics}");
}

#[test]
fn many_callers_at_once_each_get_their_own_answer() {
    let daemon = Daemon::start(&["--batch", "4"]);
    let seen: HashSet<_> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..16)
            .map(|n: u32| {
                let address = daemon.address;
                scope.spawn(move || {
                    let reply = infer(address, &format!("x-request-id: caller-{n}\r\n"), &jpeg(64 + n, 64));
                    let answer: InferResponse = serde_json::from_slice(&reply.body).unwrap();
                    assert_eq!(answer.image.width, 64 + n);
                    answer.request_id
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert_eq!(seen.len(), 16);
}

#[test]
fn a_deadline_that_cannot_be_met_is_refused_at_once() {
    let daemon = Daemon::start(&["--input-shape", "512,512"]);
    let refused = infer(daemon.address, "x-deadline-ms: 3\r\n", &jpeg(64, 64));
    assert!([503, 504].contains(&refused.status), "{refused:?}");
    let refused = infer(daemon.address, "x-deadline-ms: 0\r\n", &jpeg(64, 64));
    let kind = refused.problem().kind;
    assert!(kind.starts_with("/problems/deadline-"), "{kind}");
    assert_eq!(refused.header("retry-after").is_some(), refused.status == 503);
    assert_eq!(infer(daemon.address, "x-deadline-ms: 60000\r\n", &jpeg(64, 64)).status, 200);
}

#[test]
fn a_full_queue_refuses_and_says_when_to_come_back() {
    let daemon = Daemon::start(&["--queue", "1", "--batch", "1", "--input-shape", "608,608"]);
    let replies: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> =
            (0..12).map(|_| scope.spawn(|| infer(daemon.address, "", &jpeg(640, 360)))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
    assert!(replies.len() > refused.len(), "nobody was answered");
    assert!(!refused.is_empty(), "nobody was refused");
    for reply in refused {
        assert_eq!((reply.status, reply.problem().kind.as_str()), (503, "/problems/queue-full"));
        assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
}
