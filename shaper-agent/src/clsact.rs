//! The clsact qdisc and its filters: the hook of kernels before 6.6.
//!
//! A filter needs no pin: it stays when its agent ends, and so does the qdisc.

use std::io;

use crate::{hook::Entry, netlink, spec::Direction};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
};

const KIND: &str = "clsact";
const INGRESS: TcHandle = TcHandle { major: u16::MAX, minor: TcHandle::MIN_INGRESS };
const EGRESS: TcHandle = TcHandle { major: u16::MAX, minor: TcHandle::MIN_EGRESS };

/// A BPF filter, and how it is named to the kernel.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) entry: Entry,
    message: TcMessage,
}

/// The BPF filters of a direction, in the order in which they run. An interface without the qdisc has none.
pub(crate) fn filters(index: u32, direction: Direction) -> io::Result<Vec<Filter>> {
    Ok(under(index, parent(direction))?
        .into_iter()
        .filter_map(|filter| {
            let entry = bpf(&filter)?;
            let message = TcMessage::from_parts(filter.header, vec![TcAttribute::Kind("bpf".into())]);
            Some(Filter { entry, message })
        })
        .collect())
}

fn parent(direction: Direction) -> TcHandle {
    match direction {
        Direction::Upload => INGRESS,
        Direction::Download => EGRESS,
    }
}

/// Removes a filter.
pub(crate) fn remove_filter(filter: Filter) -> io::Result<()> {
    netlink::request(RouteNetlinkMessage::DelTrafficFilter(filter.message)).map(drop)
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
    if !under(index, INGRESS)?.is_empty() || !under(index, EGRESS)?.is_empty() {
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
fn under(index: u32, parent: TcHandle) -> io::Result<Vec<TcMessage>> {
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

fn bpf(filter: &TcMessage) -> Option<Entry> {
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
    Some(Entry { id: program?, name })
}
