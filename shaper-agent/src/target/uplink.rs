//! From a network namespace to the interface on this side through which all its traffic passes.

use std::io;

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage},
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
/// The uplink is the only interface that leads out of the namespace; if there are several, the one of the default
/// route. What is made inside, by whoever has the rights there, leads nowhere and so cannot hide it.
pub(super) fn host_side(namespace: &Namespace) -> Result<String, TargetError> {
    let object = &namespace.object;
    let inside = netns::run_in(&namespace.file, Inside::read).map_err(|error| {
        if error.raw_os_error() == Some(nix::libc::EINVAL) {
            return TargetError::new(Reason::WrongKind, object, "it is a namespace, but not one of networks");
        }
        TargetError::system(object, "look into its network namespace", &error, ENTER)
    })?;
    let (uplink, peer) = inside.uplink(object)?;
    for other in inside.ways_out().filter(|link| link.index != uplink.index) {
        tracing::warn!(
            "{object} has another way out, `{}`, which is not limited; only `{}` is",
            other.name,
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
    /// Whether it is a device rather than a construct of the kernel's.
    is_device: bool,
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
            is_device: message.header.link_layer_type != LinkLayerType::Loopback,
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
                            link.is_device = false;
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

    /// The interfaces that lead out of the namespace.
    fn ways_out(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(|link| link.is_device || matches!(link.peer, Some((_, Some(_)))))
    }

    /// The uplink, and the index of its other end.
    fn uplink(&self, object: &str) -> Result<(&Link, u32), TargetError> {
        let names = |links: &mut dyn Iterator<Item = &Link>| -> String {
            links.map(|link| link.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let wrong = |cause: String| {
            Err(TargetError::new(Reason::WrongKind, object, cause)
                .next("limit its processes by their cgroup (--cgroup PATH), if they have traffic at all"))
        };
        let ways_out: Vec<_> = self.ways_out().collect();
        let by_route = ways_out.iter().find(|link| Some(link.index) == self.default);
        let uplink = match (by_route, ways_out.as_slice()) {
            (Some(link), _) | (None, [link]) => *link,
            (None, []) => {
                let names = names(&mut self.links.iter().filter(|link| link.name != "lo"));
                return wrong(if names.is_empty() {
                    "it has no interface, and so no traffic to limit".to_owned()
                } else {
                    format!("none of its interfaces is a veth that leads out of it: {names}")
                });
            }
            (None, several) => {
                let names = names(&mut several.iter().copied());
                let cause = format!("it has several ways out and no default route by one of them: {names}");
                return Err(TargetError::new(Reason::Ambiguous, object, cause)
                    .next("name the host side of the one to limit (--iface NAME)"));
            }
        };
        match uplink.peer {
            Some((peer, Some(_))) if uplink.is_pair => Ok((uplink, peer)),
            _ => wrong(format!(
                "its traffic leaves by `{}`, which is a {}, not a veth",
                uplink.name, uplink.kind
            )),
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
        let (is_pair, is_device) = (kind == "veth", kind == "device" && name != "lo");
        Link { index, name: name.to_owned(), kind: kind.to_owned(), is_pair, is_device, peer }
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
    fn the_only_way_out_or_the_default_route_decides() {
        let eth0 = link(2, "eth0", "veth", Some((7, Some(0))));
        let eth1 = link(3, "eth1", "veth", Some((9, Some(0))));
        assert_eq!(uplink(std::slice::from_ref(&eth0), None), Ok(("eth0".into(), 7)));
        assert_eq!(uplink(&[eth0.clone(), eth1.clone()], Some(3)), Ok(("eth1".into(), 9)));
        let (reason, text) = uplink(&[eth0, eth1], None).unwrap_err();
        assert_eq!(reason, Reason::Ambiguous);
        assert!(text.contains("eth0, eth1"), "{text}");
    }

    #[test]
    fn what_is_made_inside_does_not_hide_the_way_out() {
        let eth0 = link(2, "eth0", "veth", Some((7, Some(0))));
        for inner in [
            link(5, "dummy0", "dummy", None),
            link(5, "wg0", "wireguard", None),
            link(5, "tun0", "tun", None),
            link(5, "inner", "veth", Some((6, None))),
            link(5, "above", "macvlan", Some((2, None))),
        ] {
            assert_eq!(uplink(&[inner, eth0.clone()], Some(5)), Ok(("eth0".into(), 7)));
        }
    }

    #[test]
    fn what_no_veth_carries_is_refused() {
        let eth0 = link(2, "eth0", "veth", Some((7, Some(0))));
        let lan = link(3, "lan", "macvlan", Some((2, Some(0))));
        let card = link(4, "enp1s0", "device", None);
        let (reason, text) = uplink(&[eth0.clone(), lan.clone()], Some(3)).unwrap_err();
        assert_eq!(reason, Reason::WrongKind);
        assert!(text.contains("`lan`, which is a macvlan"), "{text}");
        assert_eq!(uplink(&[lan], None).unwrap_err().0, Reason::WrongKind);
        assert_eq!(uplink(std::slice::from_ref(&card), Some(4)).unwrap_err().0, Reason::WrongKind);
        assert_eq!(uplink(&[card, eth0], Some(9)).unwrap_err().0, Reason::Ambiguous);
        assert!(uplink(&[link(2, "tap0", "tun", None)], Some(2)).unwrap_err().1.contains("tap0"));
        assert!(uplink(&[], None).unwrap_err().1.contains("no interface"));
    }
}
