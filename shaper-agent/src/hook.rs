//! The two hooks at an interface's ingress, and what is on them.

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    links::Link as _,
    tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions},
};
use shaper_common::layout::PROGRAM;

use crate::{
    clsact,
    error::{AgentError, chain},
    holder,
    interface::Interface,
};

/// Filters run in the order of their priority; this is the first.
const FIRST: u16 = 1;

/// The program on its hook. Dropping it takes the program off; only [`Attachment::remove`] says if that fails.
#[derive(Debug)]
pub(crate) enum Attachment {
    /// Goes with the process, however that ends.
    Tcx(SchedClassifierLink),
    /// Stays if the process is killed.
    Clsact {
        filter: SchedClassifierLink,
        /// The agent has added the qdisc, now or in an earlier life that was killed.
        own_qdisc: bool,
    },
}

/// The programs of the TCX hook in the order in which they run, with their names. Fails before Linux 6.6.
pub(crate) fn tcx_chain(iface: &str) -> Result<Vec<(u32, String)>, ProgramError> {
    let (_, programs) = SchedClassifier::query_tcx(iface, TcAttachType::Ingress)?;
    Ok(programs
        .iter()
        .map(|program| (program.id(), program.name_as_str().unwrap_or_default().to_owned()))
        .collect())
}

/// Fails if another agent limits the interface, on whichever hook, and names it.
///
/// A filter that no process holds is what a killed agent left: it does not count, and [`attach_clsact`] replaces it.
pub(crate) fn refuse_second(interface: &Interface, tcx: &[(u32, String)]) -> Result<(), AgentError> {
    let other = tcx.iter().find(|(_, name)| name == PROGRAM).map(|(id, _)| *id);
    let other = match other {
        Some(id) => Some(id),
        None => clsact_chain(interface)?
            .into_iter()
            .find(|filter| filter.is_ours() && holder::of_program(filter.program).is_some())
            .map(|filter| filter.program),
    };
    match other {
        Some(id) => {
            Err(AgentError::AlreadyLimited { iface: interface.name.clone(), holder: holder::describe(id) })
        }
        None => Ok(()),
    }
}

/// The BPF filters of the clsact hook in the order in which they run.
pub(crate) fn clsact_chain(interface: &Interface) -> Result<Vec<clsact::Filter>, AgentError> {
    clsact::ingress_filters(interface.index).map_err(|source| AgentError::Netlink {
        action: format!("list the filters of `{}`", interface.name),
        source,
    })
}

/// Attaches before every program that is there now.
pub(crate) fn attach_tcx(
    program: &mut SchedClassifier,
    interface: &Interface,
) -> Result<Attachment, AgentError> {
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    Ok(Attachment::Tcx(attach(program, interface, options)?))
}

/// Attaches as the first filter, adding the qdisc if need be and removing what a killed agent left.
pub(crate) fn attach_clsact(
    program: &mut SchedClassifier,
    interface: &Interface,
) -> Result<Attachment, AgentError> {
    let failed = |cause: String| AgentError::Attach { iface: interface.name.clone(), cause };
    let had_qdisc = clsact::has_qdisc(interface.index).map_err(|error| failed(error.to_string()))?;
    let stale = clsact_chain(interface)?.iter().any(clsact::Filter::is_ours);
    if stale {
        tracing::warn!("replacing the filter that a killed agent left on `{}`", interface.name);
        tc::qdisc_detach_program(&interface.name, TcAttachType::Ingress, PROGRAM)
            .map_err(|error| failed(chain(&error)))?;
    }
    if !had_qdisc {
        tc::qdisc_add_clsact(&interface.name).map_err(|error| failed(chain(&error)))?;
    }
    let own_qdisc = stale || !had_qdisc;
    let options = TcAttachOptions::Netlink(NlOptions { priority: FIRST, ..NlOptions::default() });
    match attach(program, interface, options) {
        Ok(filter) => Ok(Attachment::Clsact { filter, own_qdisc }),
        Err(error) => {
            if own_qdisc && let Err(error) = clsact::remove_unused_qdisc(interface.index) {
                tracing::warn!("cannot remove the clsact qdisc from `{}` again: {error}", interface.name);
            }
            Err(error)
        }
    }
}

fn attach(
    program: &mut SchedClassifier,
    interface: &Interface,
    options: TcAttachOptions,
) -> Result<SchedClassifierLink, AgentError> {
    program
        .attach_with_options(&interface.name, TcAttachType::Ingress, options)
        .and_then(|link| program.take_link(link))
        .map_err(|error| AgentError::Attach { iface: interface.name.clone(), cause: chain(&error) })
}

impl Attachment {
    /// `tcx` or `clsact`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Tcx(_) => "tcx",
            Self::Clsact { .. } => "clsact",
        }
    }

    /// The programs of the interface that run before or on this hook, in their order.
    pub(crate) fn chain(&self, interface: &Interface) -> Result<Vec<u32>, AgentError> {
        let tcx = tcx_chain(&interface.name).map(|chain| chain.into_iter().map(|(id, _)| id));
        match (self, tcx) {
            (Self::Tcx(_), Ok(tcx)) => Ok(tcx.collect()),
            (Self::Tcx(_), Err(error)) => Err(AgentError::Netlink {
                action: format!("list the programs of `{}`", interface.name),
                source: std::io::Error::other(chain(&error)),
            }),
            (Self::Clsact { .. }, tcx) => {
                let filters = clsact_chain(interface)?;
                Ok(tcx.into_iter().flatten().chain(filters.iter().map(|filter| filter.program)).collect())
            }
        }
    }

    /// Takes the program off, and the qdisc with it if the agent added it and nobody else uses it.
    pub(crate) fn remove(self, interface: &Interface) -> Result<(), AgentError> {
        let failed = |cause: String| AgentError::Detach { iface: interface.name.clone(), cause };
        match self {
            Self::Tcx(link) => link.detach().map_err(|error| failed(chain(&error))),
            Self::Clsact { filter, own_qdisc } => {
                filter.detach().map_err(|error| failed(chain(&error)))?;
                if own_qdisc {
                    clsact::remove_unused_qdisc(interface.index)
                        .map_err(|error| failed(error.to_string()))?;
                }
                Ok(())
            }
        }
    }
}
