//! One life of the agent: from attaching, through its reports, to detaching.

use std::time::Duration;

use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use crate::{
    cli::Cli,
    error::AgentError,
    gso::GsoCap,
    interface::Interface,
    limit::{KernelLog, Limit},
    plan::Plan,
    privileges,
    report::Reporter,
};

/// How often the agent makes sure that the limit is still there, however rarely it reports.
const CHECK: Duration = Duration::from_secs(1);

/// How often the kernel program's messages are read, when they are on.
const LOG_FLUSH: Duration = Duration::from_millis(100);

/// Limits the interface until SIGINT or SIGTERM.
///
/// # Errors
///
/// The limit cannot be put in force, ends by itself, or cannot be removed.
pub fn run(cli: &Cli) -> Result<(), AgentError> {
    let plan = Plan::new(cli, Interface::find(&cli.iface)?)?;
    if cli.dry_run {
        println!("{plan}");
        return Ok(());
    }
    privileges::check()?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| AgentError::System("start the event loop", error))?;
    runtime.block_on(serve(cli, &plan))
}

async fn serve(cli: &Cli, plan: &Plan) -> Result<(), AgentError> {
    // Before anything is attached, so that a signal at any time detaches.
    let mut signals = [listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?];
    let verbose = tracing::enabled!(target: "shaper_ebpf", tracing::Level::DEBUG);
    let mut limit = Limit::attach(plan, cli.attach, verbose)?;
    let cap = cap_packets(plan);
    if verbose && let Some(log) = limit.kernel_log() {
        tokio::spawn(forward(log));
    }
    let mut reporter = Reporter::new(plan, cli.json);
    reporter.attached(limit.hook(), limit.program(), cap.as_ref().map(|cap| cap.segments));

    let ended = watch(cli, &limit, &mut reporter, &mut signals).await;

    if let Some(cap) = cap
        && let Err(error) = cap.restore()
    {
        tracing::warn!("cannot put the container's GSO limit back: {error}");
    }
    let last = limit.counters().and_then(|counters| Ok((counters, limit.debt()?)));
    let removed = limit.detach();
    if let Ok((counters, debt)) = last {
        reporter.detached(&counters, debt);
    }
    ended.and(removed)
}

/// Reports until a signal comes or the limit ends by itself.
async fn watch(
    cli: &Cli,
    limit: &Limit,
    reporter: &mut Reporter<'_>,
    [interrupt, terminate]: &mut [Signal; 2],
) -> Result<(), AgentError> {
    let mut reports = interval(cli.interval);
    let mut checks = interval(CHECK.min(cli.interval));
    for timer in [&mut reports, &mut checks] {
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once, and says nothing yet.
        timer.tick().await;
    }
    loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = checks.tick() => limit.check()?,
            _ = reports.tick() => reporter.counters(&limit.counters()?, limit.debt()?),
        }
    }
}

fn listen(kind: SignalKind) -> Result<Signal, AgentError> {
    signal(kind).map_err(|error| AgentError::System("listen for signals", error))
}

/// Caps what the container's end sends at once; the limit holds without, only with longer bursts.
fn cap_packets(plan: &Plan) -> Option<GsoCap> {
    let (peer, segments) = (plan.interface.peer?, plan.gso_segments?);
    GsoCap::set(peer, segments).unwrap_or_else(|error| {
        tracing::warn!(
            "cannot cap the packets that the container behind `{}` sends at once ({error}); the rate holds, but one burst \
             may be up to 64 kB longer",
            plan.interface.name
        );
        None
    })
}

/// Hands the kernel program's messages to the log for as long as the agent lives. What
/// does not fit in the ring buffer in between is lost.
async fn forward(mut log: KernelLog) {
    let mut flushes = interval(LOG_FLUSH);
    loop {
        flushes.tick().await;
        log.flush();
    }
}
