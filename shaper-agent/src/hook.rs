//! The hooks of an interface, and what is on them.

use std::{io, path::Path};

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    links::{FdLink, LinkError, PinnedLink},
    tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions},
};

use crate::{
    clsact,
    error::{self, AgentError},
    holder,
    interface::Interface,
    kernel::program_name,
    spec::{Direction, Hook},
};

/// Filters run in the order of their priority; this is the first.
const FIRST: u16 = 1;

/// What attaching came to.
#[derive(Debug)]
pub(crate) struct Attached {
    /// [`Hook::Tcx`] or [`Hook::Clsact`].
    pub(crate) hook: Hook,
    /// The agent has added the clsact qdisc.
    pub(crate) own_qdisc: bool,
    /// What holds the program on a TCX hook; goes with the process unless it is pinned. A filter needs none.
    pub(crate) link: Option<FdLink>,
}

/// A program on a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: u32,
    pub(crate) name: String,
}

/// The programs of this direction's limits, whichever build they are of.
#[derive(Debug, Clone)]
pub(crate) struct Ours {
    pub(crate) direction: Direction,
    /// Those that are pinned, by number: a kernel may not keep names.
    pub(crate) ids: Vec<u32>,
}

impl Ours {
    pub(crate) fn is(&self, entry: &Entry) -> bool {
        entry.name == program_name(self.direction) || self.ids.contains(&entry.id)
    }
}

fn attach_type(direction: Direction) -> TcAttachType {
    match direction {
        Direction::Upload => TcAttachType::Ingress,
        Direction::Download => TcAttachType::Egress,
    }
}

/// The programs of the TCX hook in the order in which they run. Fails before Linux 6.6.
pub(crate) fn tcx_chain(iface: &str, direction: Direction) -> Result<Vec<Entry>, ProgramError> {
    let (_, programs) = SchedClassifier::query_tcx(iface, attach_type(direction))?;
    Ok(programs
        .iter()
        .map(|program| Entry { id: program.id(), name: program.name_as_str().unwrap_or_default().to_owned() })
        .collect())
}

/// The BPF filters of the clsact hook in the order in which they run.
pub(crate) fn clsact_chain(interface: &Interface, direction: Direction) -> Result<Vec<Entry>, AgentError> {
    Ok(filters(interface, direction)?.into_iter().map(|filter| filter.entry).collect())
}

fn filters(interface: &Interface, direction: Direction) -> Result<Vec<clsact::Filter>, AgentError> {
    clsact::filters(interface.index, direction).map_err(|source| AgentError::Netlink {
        action: format!("list the filters of `{}`", interface.name),
        source,
    })
}

/// All programs of an interface in the order in which they run: TCX before clsact.
pub(crate) fn full_chain(interface: &Interface, direction: Direction) -> Result<Vec<Entry>, AgentError> {
    let mut chain = tcx_chain(&interface.name, direction).unwrap_or_default();
    chain.extend(clsact_chain(interface, direction)?);
    Ok(chain)
}

/// The programs of one hook of an interface, in the order in which they run.
pub(crate) fn chain(
    interface: &Interface,
    direction: Direction,
    hook: Hook,
) -> Result<Vec<Entry>, AgentError> {
    match hook {
        Hook::Clsact => clsact_chain(interface, direction),
        Hook::Auto | Hook::Tcx => {
            tcx_chain(&interface.name, direction).map_err(|error| AgentError::Netlink {
                action: format!("list the programs of `{}`", interface.name),
                source: io::Error::other(error::chain(&error)),
            })
        }
    }
}

/// Attaches before every program that is there now.
pub(crate) fn attach(
    program: &mut SchedClassifier,
    interface: &Interface,
    direction: Direction,
    hook: Hook,
) -> Result<Attached, AgentError> {
    match (hook, tcx_chain(&interface.name, direction)) {
        (Hook::Auto | Hook::Tcx, Ok(_)) => attach_tcx(program, interface, direction),
        (Hook::Tcx, Err(error)) => Err(AgentError::Unsupported {
            what: format!("the TCX hook of `{}`", interface.name),
            cause: error::chain(&error),
            next: "TCX needs Linux 6.6; use --attach clsact",
        }),
        (Hook::Clsact, _) | (Hook::Auto, Err(_)) => attach_clsact(program, interface, direction),
    }
}

fn attach_tcx(
    program: &mut SchedClassifier,
    interface: &Interface,
    direction: Direction,
) -> Result<Attached, AgentError> {
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    let link = attach_with(program, interface, direction, options)?;
    let link = FdLink::try_from(link).map_err(|error| attach_failed(interface, error::chain(&error)))?;
    Ok(Attached { hook: Hook::Tcx, own_qdisc: false, link: Some(link) })
}

/// Attaches as the first filter, adding the qdisc if need be.
fn attach_clsact(
    program: &mut SchedClassifier,
    interface: &Interface,
    direction: Direction,
) -> Result<Attached, AgentError> {
    let failed = |cause: String| attach_failed(interface, cause);
    let own_qdisc = !clsact::has_qdisc(interface.index).map_err(|error| failed(error.to_string()))?;
    if own_qdisc {
        tc::qdisc_add_clsact(&interface.name).map_err(|error| failed(error::chain(&error)))?;
    }
    let options = TcAttachOptions::Netlink(NlOptions { priority: FIRST, ..NlOptions::default() });
    match attach_with(program, interface, direction, options) {
        Ok(filter) => {
            // Dropping it would take the filter off: it has to outlive the process.
            std::mem::forget(filter);
            Ok(Attached { hook: Hook::Clsact, own_qdisc, link: None })
        }
        Err(error) => {
            if own_qdisc && let Err(error) = clsact::remove_unused_qdisc(interface.index) {
                tracing::warn!("cannot remove the clsact qdisc from `{}` again: {error}", interface.name);
            }
            Err(error)
        }
    }
}

fn attach_with(
    program: &mut SchedClassifier,
    interface: &Interface,
    direction: Direction,
    options: TcAttachOptions,
) -> Result<SchedClassifierLink, AgentError> {
    program
        .attach_with_options(&interface.name, attach_type(direction), options)
        .and_then(|link| program.take_link(link))
        .map_err(|error| attach_failed(interface, error::chain(&error)))
}

fn attach_failed(interface: &Interface, cause: String) -> AgentError {
    AgentError::Attach { place: format!("interface `{}`", interface.name), cause }
}

/// Puts another build of the program in the place of the one that a pinned link holds, without a gap.
pub(crate) fn replace(program: &mut SchedClassifier, pin: &Path) -> Result<(), AgentError> {
    let failed = |cause: String| AgentError::Attach { place: format!("the link {}", pin.display()), cause };
    let link = PinnedLink::from_pin(pin).map_err(|error| failed(error::chain(&error)))?;
    let link =
        SchedClassifierLink::try_from(FdLink::from(link)).map_err(|error| failed(error::chain(&error)))?;
    let link = program.attach_to_link(link).map_err(|error| failed(error::chain(&error)))?;
    // The pin holds the link; what is dropped here is only this process's handle.
    program.take_link(link).map(drop).map_err(|error| failed(error::chain(&error)))
}

/// Puts another build of the program in the place of the filter that is there. The new one is in front of the old one
/// before that goes; a packet in between is charged twice.
pub(crate) fn replace_filter(
    program: &mut SchedClassifier,
    interface: &Interface,
    ours: &Ours,
) -> Result<(), AgentError> {
    let old = filters(interface, ours.direction)?;
    attach_clsact(program, interface, ours.direction)?;
    remove_filters(interface, old, ours)
}

fn remove_filters(
    interface: &Interface,
    filters: Vec<clsact::Filter>,
    ours: &Ours,
) -> Result<(), AgentError> {
    for filter in filters.into_iter().filter(|filter| ours.is(&filter.entry)) {
        clsact::remove_filter(filter).map_err(|error| AgentError::Detach {
            place: format!("interface `{}`", interface.name),
            cause: error.to_string(),
        })?;
    }
    Ok(())
}

/// Takes the program off a TCX hook by removing the pin of its link. That there is none is no error.
pub(crate) fn unpin(pin: &Path) -> Result<(), AgentError> {
    match PinnedLink::from_pin(pin) {
        Ok(link) => link.unpin().map(drop).map_err(|error| detach_failed(pin, &error)),
        Err(LinkError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A pin that is no link any more is in the way all the same.
        Err(_) => std::fs::remove_file(pin).map_err(|error| detach_failed(pin, &error)),
    }
}

fn detach_failed(pin: &Path, error: &io::Error) -> AgentError {
    AgentError::Detach { place: pin.display().to_string(), cause: error.to_string() }
}

/// Takes the program's filters off, and the qdisc with them if the agent added it and nobody else uses it.
pub(crate) fn remove_filter(interface: &Interface, ours: &Ours, own_qdisc: bool) -> Result<(), AgentError> {
    remove_filters(interface, filters(interface, ours.direction)?, ours)?;
    if own_qdisc {
        clsact::remove_unused_qdisc(interface.index).map_err(|error| AgentError::Detach {
            place: format!("interface `{}`", interface.name),
            cause: error.to_string(),
        })?;
    }
    Ok(())
}

/// For messages: what runs before the program, if anything does.
pub(crate) fn before(chain: &[Entry], ours: &Ours) -> Vec<String> {
    chain
        .iter()
        .take_while(|entry| !ours.is(entry))
        .map(|entry| format!("`{}` ({})", entry.name, holder::describe(entry.id)))
        .collect()
}
