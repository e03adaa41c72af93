//! From a network namespace to the interface on this side through which all its traffic passes.

use std::io;

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage},
    route::{RouteAttribute, RouteHeader, RouteMessage, RouteType},
};

use super::{
    error::{Reason, TargetError},
    namespace::Namespace,
};
use crate::{interface, netlink, netns};

const ENTER: &str = "CAP_SYS_ADMIN";

/// The interface of the agent's own namespace that is the other end of the namespace's uplink.
///
/// The uplink is the veth that the default route leads through; else, if there is only one veth, that one.
pub(super) fn host_side(namespace: &Namespace) -> Result<String, TargetError> {
    let object = &namespace.object;
    let inside = netns::run_in(&namespace.file, Inside::read).map_err(|error| {
        if error.raw_os_error() == Some(nix::libc::EINVAL) {
            return TargetError::new(Reason::WrongKind, object, "it is a namespace, but not one of networks");
        }
        TargetError::system(object, "look into its network namespace", &error, ENTER)
    })?;
    let (uplink, peer) = inside.uplink(object)?;
    for other in inside.pairs().filter(|(link, _)| link.index != uplink.index) {
        tracing::warn!(
            "{object} has a second way out, `{}`, which is not limited; only `{}` is",
            other.0.name,
            uplink.name
        );
    }
    let elsewhere = || {
        let cause = format!("the other end of its `{}` is not in this network namespace", uplink.name);
        TargetError::new(Reason::WrongKind, object, cause)
            .next("run shaper-agent in the namespace that has it, usually the host's")
    };
    let link = match interface::link(peer) {
        Ok(link) => Link::from(&link),
        Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => return Err(elsewhere()),
        Err(error) => {
            let doing = format!("read the other end of its `{}`", uplink.name);
            return Err(TargetError::system(object, &doing, &error, "CAP_NET_ADMIN"));
        }
    };
    // An index says little: every namespace counts its own. The interface of that number here has to point back.
    let number = netns::number_of(&namespace.file).map_err(|error| {
        TargetError::system(
            object,
            "find what number its network namespace has here",
            &error,
            "CAP_NET_ADMIN",
        )
    })?;
    let points_back = link.is_pair && number.is_some() && link.peer == Some((uplink.index, number));
    if points_back { Ok(link.name) } else { Err(elsewhere()) }
}

/// An interface, as far as the choice depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    index: u32,
    name: String,
    kind: String,
    /// Whether it is one of a pair whose ends see each other's traffic: veth or netkit.
    is_pair: bool,
    /// The interface that it leads to, and the number of that one's namespace if it is another.
    peer: Option<(u32, Option<i32>)>,
}

impl From<&LinkMessage> for Link {
    fn from(message: &LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            kind: "device".to_owned(),
            is_pair: false,
            peer: None,
        };
        let (mut peer, mut namespace) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Link(index) => peer = Some(*index),
                LinkAttribute::LinkNetNsId(id) => namespace = Some(*id),
                LinkAttribute::LinkInfo(infos) => {
                    for info in infos {
                        if let LinkInfo::Kind(kind) = info {
                            link.is_pair = matches!(kind, InfoKind::Veth | InfoKind::Netkit);
                            link.kind = kind.to_string();
                        }
                    }
                }
                _ => {}
            }
        }
        link.peer = peer.map(|index| (index, namespace));
        link
    }
}

/// A namespace's interfaces and where it sends what is for everywhere else.
#[derive(Debug)]
struct Inside {
    links: Vec<Link>,
    /// The interface of the default route.
    default: Option<u32>,
}

impl Inside {
    fn read() -> io::Result<Self> {
        let links = netlink::dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        let links = links.iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => Some(Link::from(link)),
            _ => None,
        });
        let routes = netlink::dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))?;
        let routes = routes.iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(route) => default_route(route),
            _ => None,
        });
        Ok(Self { links: links.collect(), default: routes.min().map(|(_, _, index)| index) })
    }

    /// The ends of pairs that lead out, with the index of the other end.
    fn pairs(&self) -> impl Iterator<Item = (&Link, u32)> {
        self.links.iter().filter(|link| link.is_pair).filter_map(|link| match link.peer {
            Some((peer, Some(_))) => Some((link, peer)),
            _ => None,
        })
    }

    fn uplink(&self, object: &str) -> Result<(&Link, u32), TargetError> {
        let by_route = self.links.iter().find(|link| Some(link.index) == self.default);
        if let Some(pair) = self.pairs().find(|(link, _)| Some(link.index) == self.default) {
            return Ok(pair);
        }
        // A tunnel's packets leave by another interface; those of a macvlan and its like do not.
        if let Some(link) = by_route.filter(|link| !matches!(link.kind.as_str(), "tun" | "wireguard")) {
            let cause =
                format!("its traffic leaves by `{}`, which is a {}, not a veth", link.name, link.kind);
            return Err(TargetError::new(Reason::WrongKind, object, cause)
                .next("limit its processes by their cgroup (--cgroup PATH)"));
        }
        let mut pairs = self.pairs();
        match (pairs.next(), pairs.next()) {
            (Some(pair), None) => Ok(pair),
            (None, _) => {
                let names: Vec<_> = self
                    .links
                    .iter()
                    .filter(|link| link.name != "lo")
                    .map(|link| link.name.as_str())
                    .collect();
                let cause = if names.is_empty() {
                    "it has no interface, and so no traffic to limit".to_owned()
                } else {
                    format!("none of its interfaces is a veth that leads out of it: {}", names.join(", "))
                };
                Err(TargetError::new(Reason::WrongKind, object, cause)
                    .next("limit its processes by their cgroup (--cgroup PATH), if they have traffic at all"))
            }
            (Some(_), Some(_)) => {
                let names: Vec<_> = self.pairs().map(|(link, _)| link.name.as_str()).collect();
                let cause = format!("it has no default route and several ways out: {}", names.join(", "));
                Err(TargetError::new(Reason::Ambiguous, object, cause)
                    .next("name the host side of the one to limit (--iface NAME)"))
            }
        }
    }
}

/// Rank and interface of a default route, the best first: IPv4 before IPv6, then by metric.
fn default_route(route: &RouteMessage) -> Option<(u8, u32, u32)> {
    let RouteHeader { address_family, destination_prefix_length: 0, kind: RouteType::Unicast, table, .. } =
        route.header
    else {
        return None;
    };
    let (mut metric, mut interface) = (0, None);
    let mut full_table = u32::from(table);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Table(table) => full_table = *table,
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::MultiPath(hops) => {
                interface = interface.or_else(|| hops.first().map(|hop| hop.interface_index));
            }
            _ => {}
        }
    }
    (full_table == u32::from(RouteHeader::RT_TABLE_MAIN))
        .then_some(())
        .and(interface)
        .map(|index| (u8::from(address_family), metric, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, kind: &str, peer: Option<(u32, Option<i32>)>) -> Link {
        Link { index, name: name.to_owned(), kind: kind.to_owned(), is_pair: kind == "veth", peer }
    }

    fn uplink(links: &[Link], default: Option<u32>) -> Result<(String, u32), (Reason, String)> {
        let lo = link(1, "lo", "device", None);
        let inside = Inside { links: [&[lo], links].concat(), default };
        inside
            .uplink("it")
            .map(|(link, peer)| (link.name.clone(), peer))
            .map_err(|error| (error.reason(), error.to_string()))
    }

    #[test]
    fn default_route_decides_then_the_only_veth() {
        let eth0 = link(2, "eth0", "veth", Some((7, Some(0))));
        let eth1 = link(3, "eth1", "veth", Some((9, Some(0))));
        let wg0 = link(4, "wg0", "wireguard", None);
        let inner = link(5, "inner", "veth", Some((6, None)));
        assert_eq!(uplink(&[eth0.clone(), eth1.clone()], Some(3)), Ok(("eth1".into(), 9)));
        assert_eq!(uplink(std::slice::from_ref(&eth0), None), Ok(("eth0".into(), 7)));
        assert_eq!(
            uplink(&[inner, eth0.clone()], None),
            Ok(("eth0".into(), 7)),
            "a pair inside leads nowhere"
        );
        assert_eq!(uplink(&[wg0, eth0.clone()], Some(4)), Ok(("eth0".into(), 7)), "a tunnel goes through it");
        let (reason, text) = uplink(&[eth0, eth1], None).unwrap_err();
        assert_eq!(reason, Reason::Ambiguous);
        assert!(text.contains("eth0, eth1"), "{text}");
    }

    #[test]
    fn what_no_veth_carries_is_refused() {
        let eth0 = link(2, "eth0", "veth", Some((7, Some(0))));
        let lan = link(3, "lan", "macvlan", Some((2, Some(0))));
        let (reason, text) = uplink(&[eth0, lan.clone()], Some(3)).unwrap_err();
        assert_eq!(reason, Reason::WrongKind);
        assert!(text.contains("`lan`, which is a macvlan"), "{text}");
        assert_eq!(uplink(&[lan], None).unwrap_err().0, Reason::WrongKind);
        assert!(uplink(&[], None).unwrap_err().1.contains("no interface"));
    }
}
