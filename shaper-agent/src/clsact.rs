//! The clsact qdisc and its filters: the hook of kernels before 6.6.
//!
//! Unlike a TCX link, a filter stays when its agent is killed, and so does the qdisc.

use std::io;

use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
};
use shaper_common::layout::PROGRAM;

use crate::netlink;

const KIND: &str = "clsact";
const INGRESS: TcHandle = TcHandle { major: u16::MAX, minor: TcHandle::MIN_INGRESS };
const EGRESS: TcHandle = TcHandle { major: u16::MAX, minor: TcHandle::MIN_EGRESS };

/// A BPF filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) program: u32,
    name: String,
}

impl Filter {
    /// Whether an agent made it.
    pub(crate) fn is_ours(&self) -> bool {
        self.name == PROGRAM
    }
}

/// The BPF filters at the ingress, in the order in which they run. An interface without the qdisc has none.
pub(crate) fn ingress_filters(index: u32) -> io::Result<Vec<Filter>> {
    Ok(filters(index, INGRESS)?.iter().filter_map(bpf).collect())
}

/// Whether the interface has the qdisc.
pub(crate) fn has_qdisc(index: u32) -> io::Result<bool> {
    let answers = netlink::dump(RouteNetlinkMessage::GetQueueDiscipline(message(index, TcHandle::UNSPEC)))?;
    Ok(answers.iter().any(|answer| match answer {
        RouteNetlinkMessage::NewQueueDiscipline(qdisc) => {
            qdisc.header.index == index as i32 && qdisc.attributes.contains(&TcAttribute::Kind(KIND.into()))
        }
        _ => false,
    }))
}

/// Removes the qdisc if nobody's filter is left on it.
pub(crate) fn remove_unused_qdisc(index: u32) -> io::Result<()> {
    if !filters(index, INGRESS)?.is_empty() || !filters(index, EGRESS)?.is_empty() {
        return Ok(());
    }
    let mut order = message(index, TcHandle::CLSACT);
    order.header.handle = TcHandle { major: u16::MAX, minor: 0 };
    order.attributes.push(TcAttribute::Kind(KIND.into()));
    netlink::request(RouteNetlinkMessage::DelQueueDiscipline(order)).map(drop)
}

fn message(index: u32, parent: TcHandle) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = index as i32;
    message.header.parent = parent;
    message
}

/// Every filter under a parent. The kernel also lists an empty entry for each priority; those have no handle.
fn filters(index: u32, parent: TcHandle) -> io::Result<Vec<TcMessage>> {
    let answers = match netlink::dump(RouteNetlinkMessage::GetTrafficFilter(message(index, parent))) {
        // No qdisc, no filters: some kernels say so with an error.
        Err(error) if error.raw_os_error() == Some(nix::Error::EINVAL as i32) => Vec::new(),
        answers => answers?,
    };
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewTrafficFilter(filter) if filter.header.handle != TcHandle::UNSPEC => {
                Some(filter)
            }
            _ => None,
        })
        .collect())
}

fn bpf(filter: &TcMessage) -> Option<Filter> {
    let options = filter.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options),
        _ => None,
    })?;
    let (mut program, mut name) = (None, String::new());
    for option in options {
        match option {
            TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => program = Some(*id),
            TcOption::Bpf(TcFilterBpfOption::ProgName(text)) => name.clone_from(text),
            _ => {}
        }
    }
    Some(Filter { program: program?, name })
}
