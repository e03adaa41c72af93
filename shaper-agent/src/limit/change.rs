//! What becomes of a limit while it is in force: another owner, another rate.

use shaper_common::units::Rate;

use super::{Limit, Wanted};
use crate::{
    error::{AgentError, chain},
    gso, hook,
    interface::Interface,
    kernel::Kernel,
    netns::Namespaces,
    plan::Plan,
    record::{Gso, Owner, Place},
    site::Site,
    spec::{Hook, Mode, Settings},
};

impl Limit {
    /// Takes over a limit that is in force: another agent made it, in an earlier life or for another rate. What is the
    /// same stays untouched. The lock is held.
    ///
    /// # Errors
    ///
    /// The kernel refuses; the limit then stays as it was.
    pub(crate) fn adopt(
        &mut self,
        kernel: &mut Kernel,
        namespaces: &Namespaces,
        wanted: Wanted<'_>,
        site: &Site,
    ) -> Result<(), AgentError> {
        self.renew_program(kernel, site)?;
        self.record.owner = Owner::this();
        self.record.target = wanted.target.to_owned();
        self.change(kernel, namespaces, wanted.rate, wanted.settings, site)
    }

    /// Puts this build's program in the place of another's, without a gap.
    fn renew_program(&self, kernel: &mut Kernel, site: &Site) -> Result<(), AgentError> {
        // A cgroup's program has constants of its own and stays until the limit is made anew.
        let Site::Interface(interface) = site else { return Ok(()) };
        let direction = self.record.direction;
        let mut program = kernel.program(direction)?;
        let own = program.info().map_err(|error| AgentError::Load(chain(&error)))?.id();
        let chain = hook::full_chain(interface, direction)?;
        if chain.iter().any(|entry| entry.id == own) {
            return Ok(());
        }
        match &self.record.place {
            Place::Interface { hook: Hook::Tcx, .. } => {
                hook::replace(&mut program, &kernel.pins().link(self.slot))
            }
            _ => hook::replace_filter(&mut program, interface, &kernel.ours(direction)),
        }
    }

    /// Changes the rate and all else that can change while the limit is in force: at once, for all packets from now on,
    /// and without a packet lost. What waits in a queue leaves as it was scheduled.
    ///
    /// # Errors
    ///
    /// The new settings make no limit, or ask for another mode or hook than the limit has.
    pub(crate) fn change(
        &mut self,
        kernel: &mut Kernel,
        namespaces: &Namespaces,
        rate: Rate,
        settings: &Settings,
        site: &Site,
    ) -> Result<(), AgentError> {
        let interface = match site {
            Site::Interface(interface) => Some(interface),
            Site::Cgroup(..) => None,
        };
        let plan = Plan::new(settings, rate, self.record.direction, interface, self.record.mode)?;
        self.record.rate_bit_s = rate.bits_per_second();
        self.record.burst_bytes = plan.burst.bytes();
        self.record.asked = settings.into();
        self.record.paced = self.start_pacing(kernel);
        // Shorter packets before the lower rate, longer ones after the higher.
        let key = self.record.key(self.slot);
        kernel.set_config(key, self.config(&plan))?;
        self.change_cap(namespaces, interface, &plan);
        kernel.set_record(self.slot, Some(&self.record))
    }

    fn change_cap(&mut self, namespaces: &Namespaces, interface: Option<&Interface>, plan: &Plan) {
        match (self.record.gso, plan.gso_segments) {
            (Some(gso), wanted) => {
                let segments = wanted.unwrap_or(gso.before).min(gso.before);
                if segments == gso.segments {
                    return;
                }
                match gso::change(namespaces, &gso, segments) {
                    Ok(()) => self.record.gso = Some(Gso { segments, ..gso }),
                    Err(error) => tracing::warn!("cannot change the container's GSO limit: {error}"),
                }
            }
            (None, Some(_)) => {
                if let Some(interface) = interface {
                    self.cap_packets(namespaces, interface, plan);
                }
            }
            (None, None) => {}
        }
    }

    /// Whether the limit needs another attachment to become what is wanted: another mode, or another hook.
    pub(crate) fn must_be_made_anew(&self, settings: &Settings) -> bool {
        let mode = match settings.mode {
            // What `auto` chose before stands.
            Mode::Auto => false,
            asked => asked != self.record.mode,
        };
        let hook = match (settings.hook, &self.record.place) {
            (Hook::Auto, _) | (_, Place::Cgroup { .. }) => false,
            (asked, Place::Interface { hook, .. }) => asked != *hook,
        };
        mode || hook
    }
}
