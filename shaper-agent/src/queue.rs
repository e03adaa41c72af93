//! What holds packets until their departure: the kernel's `fq`, which goes by the time stamp that the program sets.
//!
//! At an upload's hook, the ingress of a veth, there is no queue. Packets that must wait are redirected to an `ifb` of the
//! interface's own; when their time has come it hands them back to the veth's ingress, behind the hook. Until then they
//! stay charged to the socket that sent them, so that TCP waits rather than loses (`tcp_small_queue_check`). At a
//! download's hook, the egress, `fq` takes the place of the veth's own root qdisc, which is none.
//!
//! Which kernels can is in [`release`].

use std::{
    io,
    sync::{Mutex, Once, PoisonError},
    time::Duration,
};

use netlink_packet_core::DefaultNla;
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    tc::{TcAttribute, TcHandle, TcMessage, TcOption},
};
use nix::net::if_::if_nametoindex;

use crate::{
    error::AgentError,
    interface::{self, Interface},
    netlink,
    record::Queue,
    release,
    spec::Direction,
};

const KIND: &str = "fq";
const IFB_PREFIX: &str = "sluice";
/// Attributes of `fq` (`linux/pkt_sched.h`): packets in all, packets of one flow, and whether it paces. If it did, it would
/// tell the sockets of this machine to leave their pacing to it, by departure times that the program then overwrites: BBR
/// would send unpaced, and take the packets' planned departures for their real ones.
const TCA_FQ_PLIMIT: u16 = 1;
const TCA_FQ_FLOW_PLIMIT: u16 = 2;
const TCA_FQ_RATE_ENABLE: u16 = 5;
/// The bucket's horizon bounds the queue in time, and so in bytes; this bounds what small packets may make of that at high
/// rates.
const MOST_PACKETS: u32 = 100_000;
/// How often a queue that drains is looked at.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// What the kernel was found to lack: making and removing an `ifb` in vain takes some 20 ms and up to a tenth of a second,
/// which hundreds of limits would wait for one after another, and a container that starts would not wait for.
static LACK: Mutex<Option<&'static str>> = Mutex::new(None);
/// Whether it is known what the kernel can.
static TRIED: Once = Once::new();

/// The name of an interface's own `ifb`: by its number, which fits whatever its name is.
fn ifb_name(index: u32) -> String {
    format!("{IFB_PREFIX}{index}")
}

/// Makes the queue of an interface.
///
/// # Errors
///
/// [`AgentError::Unsupported`] where the kernel has no `fq` or `ifb`, or the place is taken. Nothing is left then.
pub(crate) fn make(interface: &Interface, direction: Direction) -> Result<Queue, AgentError> {
    release::can_shape(&release::running(), direction)?;
    TRIED.call_once(|| ());
    match direction {
        Direction::Upload => make_ifb(interface),
        Direction::Download => make_root(interface),
    }
}

/// Finds out, once, what this kernel lacks, so that nobody has to wait for it later.
pub(crate) fn prepare() {
    TRIED.call_once(|| {
        if let Err(error) = try_ifb() {
            tracing::debug!("no queue can be made: {error}");
        }
    });
}

/// Whether packets can wait in a queue, as far as is known.
pub(crate) fn is_possible() -> bool {
    lack().is_none() && release::can_shape(&release::running(), Direction::Upload).is_ok()
}

/// Forgets what the kernel was found to lack: a module may have come since.
pub(crate) fn look_again() {
    *LACK.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Makes an `ifb` with `fq` and removes it again, to see whether this kernel can.
pub(crate) fn try_ifb() -> Result<(), AgentError> {
    let Queue::Ifb { index, name } = make_named(format!("{IFB_PREFIX}chk{}", std::process::id() % 10_000))?
    else {
        return Ok(());
    };
    remove_link(index).map_err(|source| failed(&name, source))
}

fn make_ifb(interface: &Interface) -> Result<Queue, AgentError> {
    match lack() {
        Some(kind) => Err(missing(kind)),
        None => make_named(ifb_name(interface.index)),
    }
}

fn make_named(name: String) -> Result<Queue, AgentError> {
    // What a killed agent left in its own name, and no record knows of, is in the way.
    if let Ok(index) = if_nametoindex(name.as_str()) {
        remove_link(index).map_err(|source| failed(&name, source))?;
    }
    let mut order = LinkMessage::default();
    order.header.flags = LinkFlags::Up;
    order.header.change_mask = LinkFlags::Up;
    order.attributes.push(LinkAttribute::IfName(name.clone()));
    order.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Ifb)]));
    netlink::create(RouteNetlinkMessage::NewLink(order)).map_err(|source| unsupported("ifb", &source))?;
    let index = if_nametoindex(name.as_str()).map_err(|errno| failed(&name, errno.into()))?;
    match add_fq(index) {
        Ok(()) => Ok(Queue::Ifb { name, index }),
        Err(source) => {
            remove_link(index).map_err(|source| failed(&name, source))?;
            Err(unsupported(KIND, &source))
        }
    }
}

fn make_root(interface: &Interface) -> Result<Queue, AgentError> {
    if let Some(kind) = root_kind(interface.index).map_err(|source| failed(&interface.name, source))?
        && kind != "noqueue"
    {
        return Err(AgentError::Unsupported {
            what: format!("a queue at the root of `{}`", interface.name),
            cause: format!("its root qdisc is `{kind}` already"),
            next: "remove that one, or use --mode police",
        });
    }
    add_fq(interface.index).map_err(|source| unsupported(KIND, &source))?;
    Ok(Queue::Root)
}

/// Removes a queue, once what waits in it has left or `patience` is over. A queue that is gone is no error.
pub(crate) fn remove(interface: u32, queue: &Queue, patience: Duration) -> Result<(), AgentError> {
    match queue {
        Queue::Ifb { name, index } => {
            // A number is given again only after it has gone round, but a name is cheap to compare.
            if if_nametoindex(name.as_str()).ok() != Some(*index) {
                return Ok(());
            }
            drain(*index, patience);
            remove_link(*index).map_err(|source| failed(name, source))
        }
        Queue::Root => {
            drain(interface, patience);
            let mut order = qdisc(interface);
            order.attributes.push(TcAttribute::Kind(KIND.into()));
            match netlink::request(RouteNetlinkMessage::DelQueueDiscipline(order)) {
                Ok(_) => Ok(()),
                Err(error) if is_gone(&error) => Ok(()),
                Err(source) => Err(failed(&format!("number {interface}"), source)),
            }
        }
    }
}

/// Removes every `ifb` that bears an agent's name: for limits whose notes cannot be read.
pub(crate) fn remove_all() -> Result<(), AgentError> {
    let listed = netlink::dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))
        .map_err(|source| failed("all interfaces", source))?;
    for answer in listed {
        let RouteNetlinkMessage::NewLink(link) = answer else { continue };
        let name = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.as_str()),
            _ => None,
        });
        let number = name.and_then(|name| name.strip_prefix(IFB_PREFIX));
        if number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        {
            remove_link(link.header.index).map_err(|source| failed(name.unwrap_or_default(), source))?;
        }
    }
    Ok(())
}

/// Whether the queue is still there and up.
pub(crate) fn is_there(interface: u32, queue: &Queue) -> bool {
    match queue {
        Queue::Ifb { name, index } => {
            if_nametoindex(name.as_str()).ok() == Some(*index)
                && interface::link(*index).is_ok_and(|link| link.header.flags.contains(LinkFlags::Up))
                && root_kind(*index).is_ok_and(|kind| kind.as_deref() == Some(KIND))
        }
        Queue::Root => root_kind(interface).is_ok_and(|kind| kind.as_deref() == Some(KIND)),
    }
}

/// Waits until nothing is queued any more.
fn drain(index: u32, patience: Duration) {
    let mut waited = Duration::ZERO;
    while waited < patience && backlog(index).is_ok_and(|packets| packets > 0) {
        std::thread::sleep(DRAIN_STEP);
        waited += DRAIN_STEP;
    }
}

fn qdisc(index: u32) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = index.cast_signed();
    message.header.parent = TcHandle::ROOT;
    message
}

fn add_fq(index: u32) -> io::Result<()> {
    let mut order = qdisc(index);
    order.attributes.push(TcAttribute::Kind(KIND.into()));
    let options =
        [(TCA_FQ_PLIMIT, MOST_PACKETS), (TCA_FQ_FLOW_PLIMIT, MOST_PACKETS), (TCA_FQ_RATE_ENABLE, 0)];
    order.attributes.push(TcAttribute::Options(
        options
            .into_iter()
            .map(|(kind, value)| TcOption::Other(DefaultNla::new(kind, value.to_ne_bytes().to_vec())))
            .collect(),
    ));
    netlink::create(RouteNetlinkMessage::NewQueueDiscipline(order))
}

fn remove_link(index: u32) -> io::Result<()> {
    let mut order = LinkMessage::default();
    order.header.index = index;
    match netlink::request(RouteNetlinkMessage::DelLink(order)) {
        Err(error) if is_gone(&error) => Ok(()),
        result => result.map(drop),
    }
}

fn is_gone(error: &io::Error) -> bool {
    let gone = [nix::Error::ENODEV, nix::Error::ENOENT, nix::Error::EINVAL];
    gone.iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// The root qdisc of an interface as the kernel lists it.
fn root(index: u32) -> io::Result<Option<TcMessage>> {
    let answers = netlink::dump(RouteNetlinkMessage::GetQueueDiscipline(qdisc(index)))?;
    Ok(answers.into_iter().find_map(|answer| match answer {
        RouteNetlinkMessage::NewQueueDiscipline(qdisc)
            if qdisc.header.index == index.cast_signed() && qdisc.header.parent == TcHandle::ROOT =>
        {
            Some(qdisc)
        }
        _ => None,
    }))
}

fn root_kind(index: u32) -> io::Result<Option<String>> {
    Ok(root(index)?.and_then(|qdisc| {
        qdisc.attributes.into_iter().find_map(|attribute| match attribute {
            TcAttribute::Kind(kind) => Some(kind),
            _ => None,
        })
    }))
}

/// Packets that wait.
fn backlog(index: u32) -> io::Result<u32> {
    let Some(qdisc) = root(index)? else { return Ok(0) };
    Ok(qdisc
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            TcAttribute::Stats(stats) => Some(stats.qlen),
            _ => None,
        })
        .unwrap_or_default())
}

fn lack() -> Option<&'static str> {
    *LACK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unsupported(kind: &'static str, source: &io::Error) -> AgentError {
    // The kernel's ways to say that it does not know the kind.
    let unknown = [nix::Error::ENOENT, nix::Error::EOPNOTSUPP];
    if unknown.iter().any(|errno| source.raw_os_error() == Some(*errno as i32)) {
        *LACK.lock().unwrap_or_else(PoisonError::into_inner) = Some(kind);
        return missing(kind);
    }
    without(kind, source.to_string())
}

fn missing(kind: &str) -> AgentError {
    without(kind, "it is not compiled in, and there is no module".to_owned())
}

fn without(kind: &str, cause: String) -> AgentError {
    AgentError::Unsupported {
        what: format!("`{kind}`"),
        cause,
        next: "mode shape needs CONFIG_NET_SCH_FQ and CONFIG_IFB; use --mode police or auto",
    }
}

fn failed(name: &str, source: io::Error) -> AgentError {
    AgentError::Netlink { action: format!("make or remove the queue of `{name}`"), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_lacks_is_remembered_and_nothing_else() {
        let said = |errno: nix::Error| unsupported(KIND, &errno.into()).to_string();
        assert!(said(nix::Error::ENOSPC).contains("No space"));
        assert_eq!(lack(), None);
        assert!(said(nix::Error::ENOENT).contains("no module"));
        assert_eq!(lack(), Some(KIND));
    }
}
