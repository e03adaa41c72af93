//! One run, from its settings to its end.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, anyhow};
use protocol::record::Outcome;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
    task::spawn_blocking,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    frame::Frame,
    keeper, little,
    mailbox::Mailbox,
    report,
    results::Results,
    server::Server,
    settings::Settings,
    source::{self, Deliver},
    status::Counters,
    uplink::{Finished, Uplink},
};

/// Between two log lines with the counters.
const LOG_PERIOD: Duration = Duration::from_secs(10);
/// Between two JSON lines with the counters.
const JSON_PERIOD: Duration = Duration::from_secs(1);
/// Exit code after a second signal: 128 + SIGINT, as shells report it.
const EXIT_INTERRUPTED: i32 = 130;

/// Runs until the video's end, the set duration or a signal; then finishes in order.
///
/// # Errors
///
/// What keeps it from running or from writing results. Trouble with a camera or the cloud is no error.
pub fn run(settings: Settings) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    runtime.block_on(watch(settings))
}

async fn watch(settings: Settings) -> Result<()> {
    // Cancelled: somebody wants it to end now, with what has been done so far. Signals are heard from the very
    // beginning: one that comes while the model is loaded ends the run in order too.
    let interrupt = CancellationToken::new();
    let signals = tokio::spawn(watch_signals(interrupt.clone())?);
    settings.notes.iter().for_each(|note| info!("{note}"));
    source::load_elements(&settings.source.location)?;
    let counters = Arc::new(Counters::default());
    let server = match settings.listen {
        Some(address) => {
            let server = Server::listen(address, Arc::clone(&counters)).await?;
            info!(address = %server.address().unwrap_or(address), "serving health and metrics");
            Some(tokio::spawn(server.run()))
        }
        None => None,
    };
    let file = tokio::select! {
        file = settings.model.fetch() => file?,
        () = interrupt.cancelled() => return Ok(()),
    };
    let mut detector = keeper::load(&file.path, &settings.load)?;
    let model = detector.info();
    info!(
        model = model.name,
        family = model.family,
        input = format!("{}x{}", model.input_width, model.input_height),
        mining = ?settings.mining,
        "the little model is ready"
    );

    // Cancelled: no more frames are captured.
    let stop = CancellationToken::new();
    let (results, writers, first) = Results::start(&settings.results, interrupt.clone())?;
    let results = Arc::new(results);
    let finished: Finished = {
        let (counters, results) = (Arc::clone(&counters), Arc::clone(&results));
        Arc::new(move |frame, record| {
            counters.finished(&record);
            results.submit(frame, record);
        })
    };
    let uplink = settings
        .uplink
        .map(|uplink| Uplink::new(uplink, Arc::clone(&counters), Arc::clone(&finished)))
        .transpose()
        .context("cannot make the HTTP client")?
        .map(Arc::new);

    let next = Arc::new(keeper::Next::default());
    let follow = tokio::spawn(keeper::follow(
        keeper::Followed {
            source: settings.model,
            serving: file.version,
            options: settings.load,
            info: model.clone(),
        },
        Arc::clone(&next),
        Arc::clone(&counters),
        nudge_on_hangup()?,
    ));

    let mailbox = Arc::new(Mailbox::default());
    let unpaced = settings.source.unpaced;
    let capture = spawn_blocking({
        let (mailbox, counters, stop) = (Arc::clone(&mailbox), Arc::clone(&counters), stop.clone());
        let deliver = deliver(first, unpaced, Arc::clone(&mailbox), Arc::clone(&counters));
        move || {
            let _close = CloseOnDrop(mailbox);
            source::run(&settings.source, &deliver, &stop, || counters.reconnected())
        }
    });
    let little = spawn_blocking({
        let (mailbox, counters, stop) = (Arc::clone(&mailbox), Arc::clone(&counters), stop.clone());
        let (uplink, finished) = (uplink.clone(), Arc::clone(&finished));
        move || {
            let _stop = stop.drop_guard();
            let detect = |image: &_| {
                if let Some(new) = next.take() {
                    detector = new;
                    detector::give_back_memory();
                }
                let found = detector.detect(std::slice::from_ref(image))?;
                Ok::<_, detector::DetectError>(found.into_iter().next().unwrap_or_default())
            };
            little::run(&mailbox, &settings.mining, detect, |judged| {
                counters.judged(judged.hard, judged.timing.edge_ms);
                match &uplink {
                    Some(uplink) if judged.hard => uplink.submit(judged),
                    _ => {
                        let frame = Arc::clone(&judged.frame);
                        finished(frame, judged.into_record(Outcome::Edge, None, None));
                    }
                }
            })
        }
    });
    let uplink_stop = CancellationToken::new();
    let uplinked = uplink.clone().map(|uplink| tokio::spawn(uplink.run(uplink_stop.clone())));
    let status = tokio::spawn(tell_status(Arc::clone(&counters), settings.status_json));
    let reporter = settings.report.map(|report| tokio::spawn(report::run(report, Arc::clone(&counters))));

    tokio::select! {
        () = stop.cancelled() => {}
        () = interrupt.cancelled() => {}
        () = elapsed(settings.duration) => {
            info!(duration = ?settings.duration, "the set time is over");
            interrupt.cancel();
        }
    }
    follow.abort();
    stop.cancel();
    mailbox.close();
    if let Some(uplink) = uplink.as_ref().filter(|_| interrupt.is_cancelled()) {
        uplink.hurry();
    }
    let captured = capture.await;
    let judged = little.await;
    if let (Some(uplink), Some(mut uplinked)) = (uplink, uplinked) {
        // No more frames. A recording that was read to its end at its own pace is like a camera that was switched
        // off; one that is read without loss has its last frames answered too.
        uplink.close();
        if !unpaced {
            uplink_stop.cancel();
        }
        tokio::select! {
            ended = &mut uplinked => ended.context("the uplink failed")?,
            () = interrupt.cancelled() => {
                uplink_stop.cancel();
                uplinked.await.context("the uplink failed")?;
            }
        }
    }
    status.abort();
    if let Some(server) = server {
        server.abort();
    }
    if let Some(reporter) = reporter {
        reporter.abort();
    }
    let skipped = results.skipped_pictures();
    // The writers end when nobody can submit any more.
    drop((results, finished));
    spawn_blocking(|| writers.join()).await.context("the writers failed")??;
    signals.abort();
    info!(frames = mailbox.replaced(), "replaced by newer ones before the little model was free");
    if skipped > 0 {
        warn!(
            skipped,
            "pictures were skipped because the drawing could not keep up; results.jsonl is complete"
        );
    }
    tell(&counters, settings.status_json);
    judged.map_err(|panic| anyhow!("the little model's thread failed: {panic}"))??;
    captured.map_err(|panic| anyhow!("the capture thread failed: {panic}"))??;
    Ok(())
}

/// Numbers pictures from `first` and puts them into the mailbox.
fn deliver(first: u64, unpaced: bool, mailbox: Arc<Mailbox<Frame>>, counters: Arc<Counters>) -> Deliver {
    let next = AtomicU64::new(first);
    Arc::new(move |picture| {
        let frame = Frame {
            number: next.fetch_add(1, Ordering::Relaxed),
            captured_at: SystemTime::now(),
            arrived: Instant::now(),
            media_time_us: picture.media_time_us,
            image: picture.image,
        };
        counters.captured();
        if unpaced {
            return mailbox.put_when_free(frame);
        }
        mailbox.put(frame);
        true
    })
}

/// Closes the mailbox even if its thread panics, so that nobody waits for it.
struct CloseOnDrop(Arc<Mailbox<Frame>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn elapsed(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// The first signal ends the run in order, the second at once.
fn watch_signals(interrupt: CancellationToken) -> Result<impl Future<Output = ()>> {
    let handler = |kind| signal(kind).context("cannot handle signals");
    let (mut int, mut term) = (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?);
    Ok(async move {
        either(&mut int, &mut term).await;
        info!("stopping; a second signal stops at once");
        interrupt.cancel();
        either(&mut int, &mut term).await;
        std::process::exit(EXIT_INTERRUPTED);
    })
}

/// Is notified by every SIGHUP.
fn nudge_on_hangup() -> Result<Arc<Notify>> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot handle signals")?;
    let nudge = Arc::new(Notify::new());
    let nudged = Arc::clone(&nudge);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            nudged.notify_one();
        }
    });
    Ok(nudge)
}

async fn either(int: &mut Signal, term: &mut Signal) {
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
}

async fn tell_status(counters: Arc<Counters>, json: bool) {
    let mut ticks = tokio::time::interval(if json { JSON_PERIOD } else { LOG_PERIOD });
    ticks.tick().await;
    loop {
        ticks.tick().await;
        // Whoever reads standard output may be slow, and the uplink must not wait for them.
        let counters = Arc::clone(&counters);
        if spawn_blocking(move || tell(&counters, json)).await.is_err() {
            return;
        }
    }
}

/// Prints the counters as a line of JSON, or logs them.
fn tell(counters: &Counters, json: bool) {
    let status = counters.snapshot();
    if json {
        if let Ok(line) = serde_json::to_string(&status) {
            // Whoever read the lines may be gone; the run goes on.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        return;
    }
    info!(
        captured = status.captured,
        inferred = status.inferred,
        hard = status.hard,
        answered = status.answered,
        expired = status.expired,
        displaced = status.displaced,
        failed = status.failed,
        queued = status.queued,
        reconnects = status.reconnects,
        model_swaps = status.model_swaps,
        model_refusals = status.model_refusals,
        edge_ms = status.edge_ms,
        last_cloud_ms = status.last_cloud_ms,
        "counters"
    );
}
