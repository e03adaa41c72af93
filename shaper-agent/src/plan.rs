//! What the command line comes to on this interface.

use std::{fmt, time::Duration};

use shaper_common::{
    bucket::Bucket,
    layout::Config,
    units::{Burst, Rate, Size},
};

use crate::{cli::Cli, error::AgentError, gso, interface::Interface};

/// Ethernet's header; the MTU leaves it out.
const ETHERNET: i64 = 14;

/// A limit, computed to the last number.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where.
    pub interface: Interface,
    /// How much.
    pub rate: Rate,
    /// How much at once.
    pub burst: Size,
    /// The longest frame, overhead included.
    pub frame: Size,
    /// What is added to each frame, in bytes.
    pub overhead: i32,
    /// How much deeper small packets may go into debt.
    pub reserve: Duration,
    /// The segments that a packet of the container's may hold; none if the rate needs no cap.
    pub gso_segments: Option<u32>,
    bucket: Bucket,
}

impl Plan {
    /// Resolves the command line on an interface.
    ///
    /// # Errors
    ///
    /// Burst or reserve are longer than the bucket can hold.
    pub fn new(cli: &Cli, interface: Interface) -> Result<Self, AgentError> {
        let frame = (i64::from(interface.mtu) + ETHERNET + i64::from(cli.overhead)).max(1);
        let frame = Size::from_bytes(frame.unsigned_abs());
        let burst = cli.burst.map_or_else(|| Burst::default_at(cli.rate, frame), |burst| burst.at(cli.rate));
        if burst < frame {
            tracing::warn!("a burst of {burst} is less than a full frame ({frame}); it acts as one frame");
        }
        let bucket = Bucket::new(cli.rate, burst, frame, cli.small_packet_reserve)?;
        let gso_segments = gso::segments(cli.rate, frame);
        Ok(Self {
            interface,
            rate: cli.rate,
            burst,
            frame,
            overhead: cli.overhead,
            reserve: cli.small_packet_reserve,
            gso_segments,
            bucket,
        })
    }

    /// What the kernel program is told.
    #[must_use]
    pub fn config(&self) -> Config {
        Config { bucket: self.bucket, overhead: self.overhead, reserved: 0 }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interface, rate, burst, frame, overhead, reserve, gso_segments, bucket: _ } = self;
        writeln!(f, "limit what comes in at `{}` (interface {}) to {rate}", interface.name, interface.index)?;
        writeln!(f, "burst {burst}, of which {frame} for the last frame; overhead {overhead} bytes a frame")?;
        write!(f, "packets of up to 128 bytes may go {} ms deeper into debt", reserve.as_millis())?;
        match (interface.peer, gso_segments) {
            (None, _) => write!(f, "\n`{}` is no veth: GSO packets are not capped", interface.name),
            (Some(_), None) => Ok(()),
            (Some(peer), Some(segments)) => {
                write!(
                    f,
                    "\ncap the GSO packets of the veth's other end (interface {} there) at {segments}",
                    peer.index
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn plan(arguments: &[&str]) -> Plan {
        let cli = Cli::try_parse_from(["shaper-agent", "--iface", "veth0"].iter().chain(arguments)).unwrap();
        let interface =
            Interface { name: "veth0".into(), index: 7, mtu: 1500, gso_max_segs: None, peer: None };
        Plan::new(&cli, interface).unwrap()
    }

    #[test]
    fn defaults_follow_rate_and_mtu() {
        let plan = plan(&["--rate", "64kbit"]);
        assert_eq!((plan.frame.bytes(), plan.burst.bytes(), plan.gso_segments), (1514, 3028, Some(1)));
        assert!(plan.to_string().contains("64kbit"), "{plan}");
    }

    #[test]
    fn overhead_lengthens_the_frame() {
        let plan = plan(&["--rate", "1mbit", "--overhead", "24", "--burst", "250ms"]);
        assert_eq!((plan.frame.bytes(), plan.burst.bytes()), (1538, 31_250));
        assert_eq!(plan.config().overhead, 24);
    }
}
