//! All limits of this network namespace, while nobody else changes them.

use std::collections::BTreeMap;

use shaper_common::layout::SLOTS;

use crate::{
    error::AgentError,
    expedite,
    interface::Interface,
    kernel::Kernel,
    limit::{Limit, Wanted},
    netns::Namespaces,
    pacing,
    past::Past,
    pins::{Lock, Pins},
    record::{Owner, Place},
    site::Site,
    spec::{Direction, Settings, Target},
};

/// The limits that are in force, and the lock that keeps them so.
pub(crate) struct Ledger {
    kernel: Kernel,
    namespaces: Namespaces,
    limits: BTreeMap<u32, Limit>,
    lock: Lock,
}

impl Ledger {
    /// Opens the ledger, making what there is not yet.
    ///
    /// # Errors
    ///
    /// The BPF file system or the kernel refuse.
    pub(crate) fn create(pins: &Pins, verbose: bool) -> Result<Self, AgentError> {
        let lock = pins.create()?;
        Self::read(Kernel::create(pins, verbose)?, lock)
    }

    /// Opens the ledger if there is one.
    ///
    /// # Errors
    ///
    /// What is there cannot be read.
    pub(crate) fn open(pins: &Pins) -> Result<Option<Self>, AgentError> {
        if !pins.exist() {
            return Ok(None);
        }
        let lock = pins.lock()?;
        // The last limit may have gone while this waited.
        if !pins.exist() {
            return Ok(None);
        }
        Self::read(Kernel::open(pins, false)?, lock).map(Some)
    }

    fn read(kernel: Kernel, lock: Lock) -> Result<Self, AgentError> {
        let limits =
            kernel.records()?.into_iter().map(|(slot, record)| (slot, Limit { slot, record })).collect();
        let mut ledger = Self { kernel, namespaces: Namespaces::default(), limits, lock };
        ledger.prune()?;
        Ok(ledger)
    }

    /// Cleans up what is left of limits whose interface or cgroup is gone.
    fn prune(&mut self) -> Result<(), AgentError> {
        expedite::clean_up();
        let gone = |limit: &Limit| match &limit.record.place {
            Place::Interface { index, .. } => Interface::numbered(*index).is_none(),
            Place::Cgroup { path, .. } => !path.is_dir(),
        };
        let stale: Vec<u32> =
            self.limits.values().filter(|limit| gone(limit)).map(|limit| limit.slot).collect();
        for slot in stale {
            self.remove(slot)?;
        }
        // A link whose slot is free belongs to an agent that was killed while it removed the limit.
        for slot in self.kernel.pins().links() {
            if !self.limits.contains_key(&slot) {
                crate::hook::unpin(&self.kernel.pins().link(slot))?;
            }
        }
        Ok(())
    }

    /// The limits, by slot.
    pub(crate) fn limits(&self) -> impl Iterator<Item = &Limit> {
        self.limits.values()
    }

    /// The slots of a target's limits.
    pub(crate) fn of(&self, target: &Target) -> Vec<u32> {
        let target = target.to_string();
        self.limits.values().filter(|limit| limit.record.target == target).map(|limit| limit.slot).collect()
    }

    /// Puts in force what is wanted of a target, at a site: takes over what is there, makes what is not, removes what
    /// is not wanted any more. `past` is what the target may owe.
    ///
    /// # Errors
    ///
    /// Another agent that is running holds it, or the kernel refuses.
    pub(crate) fn hold(
        &mut self,
        target: &Target,
        settings: &Settings,
        site: &Site,
        past: &Past,
    ) -> Result<Vec<Limit>, AgentError> {
        let name = target.to_string();
        let mut held = Vec::new();
        for direction in Direction::ALL {
            if direction == Direction::Download && matches!(site, Site::Cgroup(..)) {
                if settings.download.is_some() {
                    return Err(AgentError::Unsupported {
                        what: format!("a download limit of {}", site.describe()),
                        cause: "packets reach a cgroup's sockets after they have crossed the network"
                            .to_owned(),
                        next: "limit the interface with --iface, or leave --download out",
                    });
                }
                continue;
            }
            let found = self.at(site, direction);
            if let Some(slot) = found {
                self.refuse_held(slot, &name)?;
            }
            let Some(rate) = settings.rate(direction) else {
                if let Some(slot) = found {
                    self.remove(slot)?;
                }
                continue;
            };
            let wanted = Wanted { target: &name, direction, rate, settings, owed: past.of(direction) };
            let slot = match found {
                Some(slot) if self.adopt(slot, wanted, site)? => slot,
                Some(slot) => {
                    self.remove(slot)?;
                    self.attach(wanted, site)?
                }
                None => self.attach(wanted, site)?,
            };
            held.extend(self.limits.get(&slot).cloned());
        }
        Ok(held)
    }

    /// The limit at a site.
    fn at(&self, site: &Site, direction: Direction) -> Option<u32> {
        self.limits
            .values()
            .find(|limit| limit.record.direction == direction && site.is(&limit.record.place))
            .map(|limit| limit.slot)
    }

    /// Fails if an agent that is running holds the limit: another one, or this one for another target.
    fn refuse_held(&self, slot: u32, target: &str) -> Result<(), AgentError> {
        let Some(Limit { record, .. }) = self.limits.get(&slot) else { return Ok(()) };
        if record.owner == Owner::this() {
            if record.target == target {
                return Ok(());
            }
            return Err(AgentError::SamePlace { title: target.to_owned(), other: record.target.clone() });
        }
        if record.owner.lives() {
            return Err(AgentError::AlreadyLimited {
                title: record.title(),
                holder: format!("shaper-agent (process {})", record.owner.pid),
            });
        }
        Ok(())
    }

    /// Takes a limit over; says whether that was possible. One that is not in force any more, or would have to be made
    /// anew, is not.
    fn adopt(&mut self, slot: u32, wanted: Wanted<'_>, site: &Site) -> Result<bool, AgentError> {
        let Self { kernel, namespaces, limits, .. } = self;
        let Some(limit) = limits.get_mut(&slot) else { return Ok(false) };
        if limit.must_be_made_anew(wanted.settings) || limit.check(kernel).is_err() {
            return Ok(false);
        }
        limit.adopt(kernel, namespaces, wanted, site)?;
        Ok(true)
    }

    fn attach(&mut self, wanted: Wanted<'_>, site: &Site) -> Result<u32, AgentError> {
        let slot = (0..SLOTS).find(|slot| !self.limits.contains_key(slot)).ok_or(AgentError::Full(SLOTS))?;
        let limit = Limit::attach(&mut self.kernel, &self.namespaces, wanted, site, slot)?;
        self.limits.insert(slot, limit);
        Ok(slot)
    }

    /// Changes a limit that is in force.
    ///
    /// # Errors
    ///
    /// The settings make no limit, or the kernel refuses.
    pub(crate) fn change(&mut self, slot: u32, settings: &Settings) -> Result<(), AgentError> {
        let Self { kernel, namespaces, limits, .. } = self;
        let Some(limit) = limits.get_mut(&slot) else { return Ok(()) };
        let Some(rate) = settings.rate(limit.record.direction) else { return Ok(()) };
        let site = Site::noted(&limit.record)?;
        limit.change(kernel, namespaces, rate, settings, &site)
    }

    /// Takes a limit out of force.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub(crate) fn remove(&mut self, slot: u32) -> Result<(), AgentError> {
        let Self { kernel, namespaces, limits, .. } = self;
        let Some(limit) = limits.get(&slot) else { return Ok(()) };
        limit.remove(kernel, namespaces)?;
        limits.remove(&slot);
        Ok(())
    }

    /// Ends the work: unlocks, and removes everything from the file system if no limit is left.
    ///
    /// # Errors
    ///
    /// The file system refuses.
    pub(crate) fn close(self) -> Result<(), AgentError> {
        let Self { kernel, limits, lock, .. } = self;
        if !limits.is_empty() {
            return Ok(());
        }
        pacing::stop(&kernel);
        let pins = kernel.pins().clone();
        pins.remove()?;
        // Open files of its own, the lock among them, would keep the file system mounted.
        drop((kernel, lock));
        pins.release();
        Ok(())
    }

    /// The programs and maps.
    pub(crate) fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The programs and maps, to load what will be needed.
    pub(crate) fn kernel_mut(&mut self) -> &mut Kernel {
        &mut self.kernel
    }
}
