//! Reports to the local controller of KubeEdge Sedna.
//!
//! The body is that of Sedna's own edge worker (`lib/sedna/service/client.py`, `LCReporter`). Three things are better:
//! a hard frame counts once, times are UTC, and a controller that is away for a while does not end the reports.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use protocol::{status::EdgeStatus, time::rfc3339};
use serde_json::json;
use tracing::warn;

use crate::{http_url::HttpUrl, status::Counters};

/// How long one report may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where and as whom to report.
#[derive(Debug, Clone)]
pub struct ReportSettings {
    /// The local controller.
    pub server: HttpUrl,
    /// How often.
    pub period: Duration,
    /// This worker.
    pub worker: String,
    /// Its namespace.
    pub namespace: String,
    /// Its joint inference service.
    pub service: String,
}

/// Reports for ever, in each period in which something was inferred. An unreachable controller is logged when it
/// goes and when it is back.
pub async fn run(settings: ReportSettings, counters: Arc<Counters>) {
    let http = reqwest::Client::new();
    let url = format!("{}/sedna/workers/{}/info", settings.server, settings.worker);
    let mut reported = 0;
    let mut away = false;
    loop {
        let start = SystemTime::now();
        tokio::time::sleep(settings.period).await;
        let status = counters.snapshot();
        if status.inferred == reported {
            continue;
        }
        let body = body(&settings, &status, start, SystemTime::now());
        let request = http
            .post(&url)
            .timeout(TIMEOUT)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body.to_string());
        match request.send().await.and_then(reqwest::Response::error_for_status) {
            Ok(_) => {
                reported = status.inferred;
                if std::mem::take(&mut away) {
                    tracing::info!(url, "the local controller takes reports again");
                }
            }
            Err(error) if !away => {
                away = true;
                warn!(url, %error, "the local controller does not take reports; trying again each period");
            }
            Err(_) => {}
        }
    }
}

fn body(
    settings: &ReportSettings,
    status: &EdgeStatus,
    start: SystemTime,
    now: SystemTime,
) -> serde_json::Value {
    // `2026-11-24 02:07:29`, as Sedna writes times.
    let time = |at| rfc3339(at)[..19].replace('T', " ");
    json!({
        "name": settings.worker,
        "namespace": settings.namespace,
        "ownerName": settings.service,
        "ownerKind": "jointinferenceservice",
        "kind": "inference",
        "results": [],
        "ownerInfo": {
            "startTime": time(start),
            "updateTime": time(now),
            "inferenceNumber": status.inferred,
            "hardExampleNumber": status.hard,
            "uploadCloudRatio": status.hard as f64 / status.inferred.max(1) as f64,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn sednas_body_with_the_right_counts() {
        let settings = ReportSettings {
            server: "http://127.0.0.1:9100".parse().unwrap(),
            period: Duration::from_secs(30),
            worker: "edgeworker-abcde".into(),
            namespace: "default".into(),
            service: "helmet".into(),
        };
        let status = EdgeStatus { inferred: 4, hard: 1, ..EdgeStatus::default() };
        let at = UNIX_EPOCH + Duration::from_secs(951_782_400);
        let body = body(&settings, &status, at, at + Duration::from_secs(30));
        assert_eq!(body["ownerInfo"]["startTime"], "2000-02-29 00:00:00");
        assert_eq!(body["ownerInfo"]["updateTime"], "2000-02-29 00:00:30");
        assert_eq!(body["ownerInfo"]["inferenceNumber"], 4);
        assert_eq!(body["ownerInfo"]["uploadCloudRatio"], 0.25);
        assert_eq!(body["ownerName"], "helmet");
    }
}
