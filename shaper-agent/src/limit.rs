//! A limit in force: one direction of one target's traffic.

mod change;

use std::time::Duration;

use aya::programs::{CgroupAttachMode, links::FdLink};
use nix::time::{ClockId, clock_gettime};
use shaper_common::{
    bucket::{TICK_SHIFT, ticks},
    layout::{Config, Counters},
    units::Rate,
};

use crate::{
    choice,
    error::{AgentError, chain},
    gso,
    hook::{self, Attached},
    interface::Interface,
    kernel::Kernel,
    metrics::LimitSnapshot,
    netns::Namespaces,
    pacing,
    past::Owed,
    plan::Plan,
    queue,
    record::{Owner, Place, Queue, Record},
    report::{interface, unix_ms},
    site::Site,
    spec::{Direction, Hook, Settings, Target},
    target::CgroupPlace,
};

/// How long the packets that wait may keep a limit from being removed.
const PATIENCE: Duration = Duration::from_secs(5);

/// A limit in force. Dropping it leaves it in force.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    pub(crate) slot: u32,
    pub(crate) record: Record,
}

/// What is wanted of one direction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Whose traffic: a [`Target`](crate::spec::Target) in words.
    pub(crate) target: &'a str,
    pub(crate) direction: Direction,
    pub(crate) rate: Rate,
    pub(crate) settings: &'a Settings,
    /// What it owes from before.
    pub(crate) owed: Option<Owed>,
}

impl Limit {
    /// Puts a limit in force, in a slot that is free. The lock is held.
    ///
    /// # Errors
    ///
    /// The interface or cgroup is gone meanwhile, or the kernel refuses something; nothing is left then.
    pub(crate) fn attach(
        kernel: &mut Kernel,
        namespaces: &Namespaces,
        wanted: Wanted<'_>,
        site: &Site,
        slot: u32,
    ) -> Result<Self, AgentError> {
        // Each step says that something is not there in words of its own; what is gone is the target.
        Self::make(kernel, namespaces, wanted, site, slot)
            .map_err(|error| if site.is_there() { error } else { AgentError::Vanished(site.describe()) })
    }

    fn make(
        kernel: &mut Kernel,
        namespaces: &Namespaces,
        wanted: Wanted<'_>,
        site: &Site,
        slot: u32,
    ) -> Result<Self, AgentError> {
        let (mode, queue, mode_reason, plan) = choice::choose(kernel, wanted, site)?;
        let mut limit = Self { slot, record: record(wanted, site, &plan, mode_reason, queue) };
        let built = limit
            .build(kernel, namespaces, site, &plan, wanted.owed)
            .and_then(|()| limit.charge_past(kernel, site, &plan, wanted.owed));
        match built {
            Ok(()) => {
                debug_assert_eq!(mode, limit.record.mode);
                Ok(limit)
            }
            Err(error) => {
                if let Err(rest) = limit.remove(kernel, namespaces) {
                    tracing::warn!("cleaning up after the failure below: {rest}");
                }
                Err(error)
            }
        }
    }

    /// The steps of [`Limit::attach`] that [`Limit::remove`] undoes. Each is noted before it is done, so that the next
    /// agent finds what a killed one left.
    fn build(
        &mut self,
        kernel: &mut Kernel,
        namespaces: &Namespaces,
        site: &Site,
        plan: &Plan,
        owed: Option<Owed>,
    ) -> Result<(), AgentError> {
        kernel.clear(self.slot, owed.unwrap_or_default().arrival)?;
        kernel.set_record(self.slot, Some(&self.record))?;
        kernel.set_config(self.record.key(self.slot), self.config(plan))?;
        let link = self.hook_up(kernel, site)?;
        if let Some(link) = link {
            link.pin(kernel.pins().link(self.slot))
                .map_err(|error| AgentError::Attach { place: site.describe(), cause: chain(&error) })?;
        }
        self.record.since_unix_ms = unix_ms();
        if let Site::Interface(interface) = site {
            self.cap_packets(namespaces, interface, plan);
        }
        // Later than all that the limit itself needs.
        self.record.paced = self.start_pacing(kernel);
        if self.record.paced {
            kernel.set_config(self.record.key(self.slot), self.config(plan))?;
        }
        kernel.set_record(self.slot, Some(&self.record))?;
        self.verify(kernel)
    }

    /// Charges what has passed before the limit was in force, where the target has been waited for.
    fn charge_past(
        &self,
        kernel: &mut Kernel,
        site: &Site,
        plan: &Plan,
        owed: Option<Owed>,
    ) -> Result<(), AgentError> {
        let (Some(owed), Some(interface)) = (owed, site.interface()) else { return Ok(()) };
        let seen = kernel.counters(self.slot)?;
        match owed.before(interface, self.record.direction, &seen, &plan.limiter.bucket) {
            Some(cost) if cost > 0 => kernel.charge(self.slot, now()?, cost),
            _ => Ok(()),
        }
    }

    fn hook_up(&mut self, kernel: &mut Kernel, site: &Site) -> Result<Option<FdLink>, AgentError> {
        match site {
            Site::Interface(interface) => {
                let mut program = kernel.program(self.record.direction)?;
                let Attached { hook, own_qdisc, link } =
                    hook::attach(&mut program, interface, self.record.direction, self.record.asked.hook)?;
                self.record.place = Place::Interface {
                    name: interface.name.clone(),
                    index: interface.index,
                    hook,
                    own_qdisc,
                };
                Ok(link)
            }
            Site::Cgroup(_, directory) => {
                let failed = |cause: String| AgentError::Attach { place: site.describe(), cause };
                let mut program = kernel.cgroup_program(self.slot)?;
                let program = program.program()?;
                // A link leaves room for others' whatever its mode, and the kernel takes no flags with it.
                let mode = CgroupAttachMode::Single;
                let link = program
                    .attach(directory, aya::programs::CgroupSkbAttachType::Egress, mode)
                    .and_then(|link| program.take_link(link))
                    .map_err(|error| failed(chain(&error)))?;
                FdLink::try_from(link).map(Some).map_err(|error| failed(chain(&error)))
            }
        }
    }

    /// Caps what the container's end sends at once; the limit holds without, only with longer bursts.
    fn cap_packets(&mut self, namespaces: &Namespaces, interface: &Interface, plan: &Plan) {
        let (Some(peer), Some(segments)) = (interface.peer, plan.gso_segments) else { return };
        match gso::lower(namespaces, peer, segments) {
            Ok(gso) => self.record.gso = gso,
            Err(error) => tracing::warn!(
                "cannot cap the packets that the container behind `{}` sends at once ({error}); the rate holds, but one \
                 burst may be up to 64 kB longer",
                interface.name
            ),
        }
    }

    /// Takes the limit out of force. What waits in a queue leaves first. The lock is held.
    ///
    /// # Errors
    ///
    /// The kernel refuses. That something is gone already is no error.
    pub(crate) fn remove(&self, kernel: &mut Kernel, namespaces: &Namespaces) -> Result<(), AgentError> {
        let record = &self.record;
        hook::unpin(&kernel.pins().link(self.slot))?;
        if let Place::Interface { name: _, index, hook, own_qdisc } = &record.place
            && *hook != Hook::Tcx
            && let Some(interface) = Interface::numbered(*index)
        {
            hook::remove_filter(&interface, &kernel.ours(record.direction), *own_qdisc)?;
        }
        kernel.remove_config(record.key(self.slot))?;
        if let Place::Cgroup { path, own: true } = &record.place
            && let Some(cgroup) = CgroupPlace::left_behind(path)
        {
            cgroup.remove()?;
        }
        if let (Some(queue), Place::Interface { index, .. }) = (&record.queue, &record.place) {
            queue::remove(*index, queue, PATIENCE)?;
        }
        if let Some(gso) = &record.gso
            && let Err(error) = gso::change(namespaces, gso, gso.before)
        {
            // The container may be gone, and its namespace with it.
            tracing::debug!("cannot put the container's GSO limit back: {error}");
        }
        kernel.set_record(self.slot, None)
    }

    /// What the program has counted on all CPUs.
    pub(crate) fn counters(&self, kernel: &Kernel) -> Result<Counters, AgentError> {
        kernel.counters(self.slot)
    }

    /// The limit as it is now, for metrics.
    pub(crate) fn snapshot(&self, kernel: &Kernel, target: &Target) -> Result<LimitSnapshot, AgentError> {
        Ok(LimitSnapshot {
            target: target.clone(),
            iface: interface(&self.record).0.unwrap_or_default().to_owned(),
            direction: self.record.direction,
            mode: self.record.mode,
            rate_bit_s: self.record.rate_bit_s,
            burst_bytes: self.record.burst_bytes,
            in_force: self.check(kernel).is_ok(),
            debt_seconds: self.debt(kernel)?.as_secs_f64(),
            counters: self.counters(kernel)?,
        })
    }

    /// How long the container would have to be silent for the bucket to be full again.
    pub(crate) fn debt(&self, kernel: &Kernel) -> Result<Duration, AgentError> {
        let arrival = kernel.arrival(self.slot)?;
        Ok(Duration::from_nanos(arrival.saturating_sub(now()?) >> TICK_SHIFT))
    }

    /// Fails unless the kernel still runs the program where it was attached.
    ///
    /// # Errors
    ///
    /// [`AgentError::Gone`], [`AgentError::Removed`], or the kernel does not say.
    pub(crate) fn check(&self, kernel: &Kernel) -> Result<(), AgentError> {
        let record = &self.record;
        match kernel.record(self.slot)? {
            Some(now) if now.key(self.slot) == record.key(self.slot) => {}
            _ => return Err(AgentError::Removed(record.title())),
        }
        match &record.place {
            Place::Interface { index, hook, .. } => {
                let interface =
                    Interface::numbered(*index).ok_or_else(|| AgentError::Gone(record.title()))?;
                let chain = hook::chain(&interface, record.direction, *hook);
                // It may go between the two calls.
                if Interface::numbered(*index).is_none() {
                    return Err(AgentError::Gone(record.title()));
                }
                let ours = kernel.ours(record.direction);
                let there = chain?.iter().any(|entry| ours.is(entry));
                let queued = record.queue.as_ref().is_none_or(|queue| queue::is_there(*index, queue));
                if there && queued { Ok(()) } else { Err(AgentError::Removed(record.title())) }
            }
            Place::Cgroup { path, .. } => {
                if path.is_dir() {
                    Ok(())
                } else {
                    Err(AgentError::Gone(record.title()))
                }
            }
        }
    }

    /// Makes sure that the program is in force, and warns of those that run before it.
    fn verify(&self, kernel: &Kernel) -> Result<(), AgentError> {
        let Place::Interface { index, .. } = &self.record.place else { return Ok(()) };
        let interface = Interface::numbered(*index).ok_or_else(|| AgentError::Gone(self.record.title()))?;
        let chain = hook::full_chain(&interface, self.record.direction)?;
        let ours = kernel.ours(self.record.direction);
        if !chain.iter().any(|entry| ours.is(entry)) {
            return Err(AgentError::NotInForce(self.record.title()));
        }
        for before in hook::before(&chain, &ours) {
            tracing::warn!(
                "{before} runs before the limit of {}: what it accepts, redirects or drops is not limited",
                self.record.title()
            );
        }
        Ok(())
    }

    fn config(&self, plan: &Plan) -> Config {
        let queue = match &self.record.queue {
            Some(Queue::Ifb { index, .. }) => *index,
            Some(Queue::Root) | None => 0,
        };
        Config { limiter: plan.limiter, slot: self.slot, queue, paced: self.record.paced.into() }
    }

    /// Whether senders are told how fast they may go, from now on. The lock is held.
    fn start_pacing(&self, kernel: &Kernel) -> bool {
        let Record { mode, asked, direction, place, .. } = &self.record;
        matches!(place, Place::Interface { .. })
            && pacing::is_wanted(asked.pacing, *mode, *direction)
            && pacing::start(kernel)
    }
}

/// Now, in ticks of the clock of `bpf_ktime_get_ns`.
fn now() -> Result<u64, AgentError> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_err(|error| AgentError::System("read the monotonic clock", error.into()))?;
    Ok(ticks(Duration::from(now).as_nanos() as u64))
}

fn record(wanted: Wanted<'_>, site: &Site, plan: &Plan, mode_reason: String, queue: Option<Queue>) -> Record {
    let Wanted { target, direction, rate, settings, .. } = wanted;
    Record {
        target: target.to_owned(),
        direction,
        place: site.place(settings.hook),
        rate_bit_s: rate.bits_per_second(),
        burst_bytes: plan.burst.bytes(),
        asked: settings.into(),
        mode: plan.mode,
        mode_reason,
        paced: false,
        queue,
        gso: None,
        owner: Owner::this(),
        since_unix_ms: unix_ms(),
    }
}
