//! One life of the agent: it puts limits in force, keeps them so, reports, and ends.

mod account;

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    cli::Reporting,
    error::AgentError,
    expedite::Expedited,
    held::Held,
    kernel::{CgroupProgram, Kernel},
    ledger::Ledger,
    limit::Limit,
    links::Links,
    logs,
    outside::Outside,
    pacing,
    pins::Pins,
    queue,
    report::Reporter,
    site::Site,
    sites::Sites,
    spec::{Direction, Mode, Settings, Spec, Target},
    target::{Changes, Engines, Watcher},
};

/// How often the agent makes sure that its limits are still there, however rarely it reports.
const CHECK: Duration = Duration::from_secs(1);
/// Limits that are looked at each time: hundreds take turns.
const CHECKS_AT_ONCE: usize = 64;
/// News of interfaces come in heaps: a container's start brings a dozen. Longer, and its program might send before it is
/// limited.
const SETTLE: Duration = Duration::from_millis(5);

/// How the agent behaves.
#[derive(Debug)]
pub(crate) struct Conduct<'a> {
    /// How limits are reported.
    pub(crate) reporting: &'a Reporting,
    /// Leave the limits in force at the end.
    pub(crate) keep: bool,
    /// End when a target goes away.
    pub(crate) exit_when_gone: bool,
    /// A target that is not there at the start is waited for.
    pub(crate) wait: bool,
    /// A limit that cannot be put in force, or ends by itself, does not end the others.
    pub(crate) go_on: bool,
}

/// Where wanted limits come from, again and again.
pub(crate) type Source<'a> = dyn Fn() -> Result<Vec<Spec>, AgentError> + 'a;

/// An agent and the limits that it holds.
pub(crate) struct Agent<'a> {
    pins: Pins,
    verbose: bool,
    conduct: Conduct<'a>,
    /// What is wanted, and what of it is in force.
    held: BTreeMap<Target, Held>,
    sites: Sites,
    kernel: Option<Kernel>,
    /// Loaded ahead for the next cgroup.
    spare: Option<CgroupProgram>,
    reporter: Reporter,
    next_check: usize,
}

impl<'a> Agent<'a> {
    pub(crate) fn new(pins: Pins, conduct: Conduct<'a>) -> Self {
        let verbose = tracing::enabled!(target: "shaper_ebpf", tracing::Level::DEBUG);
        let reporter = Reporter::new(conduct.reporting.json);
        let sites = Sites::new(&Engines::default());
        Self {
            pins,
            verbose,
            conduct,
            held: BTreeMap::new(),
            sites,
            kernel: None,
            spare: None,
            reporter,
            next_check: 0,
        }
    }

    /// Holds what `source` gives until SIGINT or SIGTERM; asks it again at SIGHUP.
    ///
    /// # Errors
    ///
    /// A limit cannot be put in force at the start, ends by itself, or cannot be removed.
    pub(crate) async fn run(mut self, source: &Source<'_>) -> Result<(), AgentError> {
        // Before anything is attached, so that a signal at any time detaches.
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut terminate = listen(SignalKind::terminate())?;
        let mut hang_up = listen(SignalKind::hangup())?;
        let mut links = Links::subscribe()?;
        let mut containers = Watcher::new(&Engines::default())?;
        let outside = Outside::new(self.conduct.reporting.listen).await?;
        let started = self.want(source()?).await;
        let ended = match started {
            Ok(()) => {
                if self.verbose {
                    logs::forward(self.kernel.as_ref());
                }
                self.publish(&outside)?;
                outside.manager().ready(&self.summary());
                let signals = &mut [&mut interrupt, &mut terminate, &mut hang_up];
                self.watch(source, signals, &mut links, &mut containers, &outside).await
            }
            Err(error) => Err(error),
        };
        outside.manager().stopping();
        let released = self.release();
        outside.close().await;
        ended.and(released)
    }

    /// Reports and mends until a signal comes or a limit ends by itself.
    async fn watch(
        &mut self,
        source: &Source<'_>,
        [interrupt, terminate, hang_up]: &mut [&mut Signal; 3],
        links: &mut Links,
        containers: &mut Watcher,
        outside: &Outside,
    ) -> Result<(), AgentError> {
        let mut watchdog = outside.watchdog();
        let mut reports = interval(self.conduct.reporting.interval);
        let mut checks = interval(CHECK.min(self.conduct.reporting.interval));
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
                _ = hang_up.recv() => {
                    outside.manager().reloading();
                    self.reload(source).await;
                    outside.manager().ready(&self.summary());
                }
                () = links.changed() => {
                    sleep(SETTLE).await;
                    self.reconcile(None).await?;
                }
                changes = containers.changed() => self.reconcile(Some(&changes)).await?,
                _ = checks.tick() => {
                    self.refill();
                    self.check().await?;
                    self.publish(outside)?;
                }
                () = watchdog.tick() => outside.manager().alive(),
                _ = reports.tick() => self.report()?,
            }
        }
    }

    /// Reads what is wanted again. What cannot be used changes nothing.
    async fn reload(&mut self, source: &Source<'_>) {
        queue::look_again();
        match source() {
            Ok(specs) => {
                if let Err(error) = self.want(specs).await {
                    tracing::error!("after the reload: {error}");
                }
            }
            Err(error) => tracing::error!("the limits stay as they were: {error}"),
        }
    }

    /// Makes what is wanted be in force, and nothing else. What is the same as before stays untouched.
    async fn want(&mut self, specs: Vec<Spec>) -> Result<(), AgentError> {
        let wanted: BTreeMap<Target, Settings> =
            specs.into_iter().map(|spec| (spec.target, spec.settings)).collect();
        let dropped: Vec<Target> =
            self.held.keys().filter(|target| !wanted.contains_key(target)).cloned().collect();
        self.drop_limits(&dropped)?;
        let mut changed = Vec::new();
        for (target, settings) in wanted {
            match self.held.get_mut(&target) {
                Some(held) if held.settings == settings => {}
                Some(held) => {
                    held.settings = settings;
                    changed.push(target);
                }
                None => {
                    self.held.insert(target.clone(), Held::new(settings));
                    changed.push(target);
                }
            }
        }
        self.take(&changed).await
    }

    /// Puts targets in force that have come (back), and notices those that have gone or moved.
    async fn reconcile(&mut self, containers: Option<&Changes>) -> Result<(), AgentError> {
        let mut moved = Vec::new();
        for (target, held) in &self.held {
            let in_place = match containers {
                // What is in force stays so while its interface is there under its name.
                None => held.is_in_place(target),
                Some(changes) if changes.concerns(target) => match self.sites.find(target).await {
                    Ok(site) => held.is_at(&site),
                    // An engine that restarts does not know its containers; they are where they were.
                    Err(_) => held.is_in_place(target),
                },
                Some(_) => true,
            };
            if !in_place {
                moved.push(target.clone());
            }
        }
        self.take(&moved).await
    }

    /// Moves processes that have come into containers into the cgroups that the agent made for them.
    fn refill(&self) {
        for (target, held) in &self.held {
            if let Some(cgroup) = &held.cgroup
                && let Err(error) = cgroup.refill()
            {
                tracing::warn!("{target}: processes that came later are not limited: {error}");
            }
        }
    }

    /// Puts targets in force, all under one lock.
    async fn take(&mut self, targets: &[Target]) -> Result<(), AgentError> {
        if targets.is_empty() {
            return Ok(());
        }
        let mut sites = Vec::new();
        for target in targets {
            let site = self.sites.find(target).await;
            // What is still missing has been dealt with: one that is about to start must not wait for it once more.
            if !self.held.get(target).is_some_and(|held| held.is_missing_as(&site)) {
                sites.push((target, site));
            }
        }
        if sites.is_empty() {
            return Ok(());
        }
        if let Some(kernel) = &self.kernel {
            for (target, _) in &sites {
                if let Some(held) = self.held.get_mut(target) {
                    held.past.remember(&held.limits, kernel)?;
                }
            }
        }
        let mut ledger = Ledger::create(&self.pins, self.verbose)?;
        *ledger.kernel_mut().spare() = self.spare.take();
        let expedited = Expedited::for_changes(sites.len());
        let mut result = Ok(());
        for (target, site) in sites {
            let Some(held) = self.held.get_mut(target) else { continue };
            let taken =
                site.and_then(|site| Ok((ledger.hold(target, &held.settings, &site, &held.past)?, site)));
            match taken {
                Ok((limits, site)) => {
                    held.missing = None;
                    held.at_cgroup = Some(matches!(site, Site::Cgroup(..)));
                    held.cgroup = match site {
                        Site::Cgroup(cgroup, _) if cgroup.is_own() => Some(cgroup),
                        _ => None,
                    };
                    for limit in &limits {
                        self.reporter.attached(limit, &limit.counters(ledger.kernel())?);
                    }
                    held.limits = limits;
                }
                Err(error) if error.is_absence() => {
                    let was_there = !held.limits.is_empty();
                    held.limits.clear();
                    held.past.wait();
                    if self.conduct.exit_when_gone && was_there {
                        result = result.and(Err(AgentError::Gone(target.to_string())));
                    } else if was_there || self.conduct.wait {
                        match prepare(ledger.kernel(), &held.settings) {
                            Err(error) if self.conduct.go_on => tracing::error!("{target}: {error}"),
                            prepared => result = result.and(prepared),
                        }
                        let reason = error.to_string();
                        if held.missing.as_ref() != Some(&reason) {
                            self.reporter.gone(&target.to_string(), &reason);
                            held.missing = Some(reason);
                        }
                    } else if held.missing.is_none() {
                        result = result.and(Err(error));
                    }
                }
                Err(error) if self.conduct.go_on => {
                    tracing::error!("{target}: {error}");
                    held.missing = Some(error.to_string());
                }
                Err(error) => result = result.and(Err(error)),
            }
        }
        drop(expedited);
        let cgroups = self.held.iter().any(|(target, held)| held.may_come_to_a_cgroup(target));
        if cgroups && let Err(error) = ledger.kernel_mut().keep_spare() {
            tracing::debug!("no program is loaded ahead for a cgroup: {error}");
        }
        self.spare = ledger.kernel_mut().spare().take().filter(|_| cgroups);
        // While anything is waited for, the programs stay loaded: loading takes longer than attaching.
        if self.held.values().all(|held| held.missing.is_none()) {
            ledger.close()?;
        }
        self.kernel = if self.pins.exist() { Some(Kernel::open(&self.pins, self.verbose)?) } else { None };
        result
    }

    /// Makes sure that the kernel still runs what it should.
    async fn check(&mut self) -> Result<(), AgentError> {
        let Some(kernel) = &self.kernel else { return Ok(()) };
        let limits: Vec<&Limit> = self.held.values().flat_map(|held| &held.limits).collect();
        let mut lost = None;
        for turn in 0..limits.len().min(CHECKS_AT_ONCE) {
            let limit = limits[(self.next_check + turn) % limits.len()];
            if let Err(error) = limit.check(kernel) {
                lost = Some(error);
                break;
            }
        }
        self.next_check = self.next_check.wrapping_add(CHECKS_AT_ONCE);
        match lost {
            None => Ok(()),
            // News of it may still be on their way.
            Some(AgentError::Gone(_)) => self.reconcile(None).await,
            Some(error) if self.conduct.go_on => {
                tracing::error!("{error}");
                self.forget_removed();
                Ok(())
            }
            Some(error) => Err(error),
        }
    }

    /// Lets go of limits that somebody else has removed: that was on purpose.
    fn forget_removed(&mut self) {
        let Some(kernel) = &self.kernel else { return };
        for held in self.held.values_mut() {
            held.limits.retain(|limit| limit.check(kernel).is_ok());
        }
    }

    /// Takes some targets' limits out of force.
    fn drop_limits(&mut self, targets: &[Target]) -> Result<(), AgentError> {
        if targets.is_empty() {
            return Ok(());
        }
        let ledger = Ledger::open(&self.pins)?;
        let Some(mut ledger) = ledger else { return Ok(()) };
        let _expedited = Expedited::for_changes(targets.len());
        for target in targets {
            let Some(held) = self.held.remove(target) else { continue };
            for limit in held.limits {
                let last = limit
                    .counters(ledger.kernel())
                    .and_then(|counters| Ok((counters, limit.debt(ledger.kernel())?)));
                ledger.remove(limit.slot)?;
                if let Ok((counters, debt)) = last {
                    self.reporter.detached(&limit, &counters, debt);
                }
            }
        }
        ledger.close()
    }

    /// The end: the limits are removed, unless they are to stay.
    fn release(&mut self) -> Result<(), AgentError> {
        // Their open maps would keep the file system mounted.
        self.kernel = None;
        self.spare = None;
        let targets: Vec<Target> = self.held.keys().cloned().collect();
        if self.conduct.keep { Ok(()) } else { self.drop_limits(&targets) }
    }
}

/// Does ahead what takes far longer than attaching: a target that comes shall find it done.
fn prepare(kernel: &Kernel, settings: &Settings) -> Result<(), AgentError> {
    if settings.mode != Mode::Police {
        queue::prepare();
    }
    let mode = match settings.mode {
        Mode::Auto if !queue::is_possible() => Mode::Police,
        mode => mode,
    };
    if settings.upload.is_some() && pacing::is_wanted(settings.pacing, mode, Direction::Upload) {
        pacing::start(kernel);
    }
    let mut wanted = Direction::ALL.into_iter().filter(|direction| settings.rate(*direction).is_some());
    wanted.try_for_each(|direction| kernel.program(direction).map(drop))
}

fn listen(kind: SignalKind) -> Result<Signal, AgentError> {
    signal(kind).map_err(|error| AgentError::System("listen for signals", error))
}
