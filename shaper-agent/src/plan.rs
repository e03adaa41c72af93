//! What the settings come to at a place: a limit, computed to the last number.

use std::{fmt, time::Duration};

use shaper_common::{
    limiter::Limiter,
    parameters::Parameters,
    units::{Burst, Rate, Size},
};

use crate::{
    error::AgentError,
    gso,
    interface::Interface,
    spec::{Direction, Mode, Settings},
};

/// Ethernet's header; the MTU leaves it out.
const ETHERNET: i64 = 14;
/// The MTU of what has no interface of its own: a cgroup's packets may leave through any.
const USUAL_MTU: u32 = 1500;

/// A policer's default burst: as much as lets the bucket keep what it earns while TCP waits for its shortest
/// retransmission timeout (200 ms), twice, and a rest (see [`shaper_common::dropper`]) at a low rate.
const POLICE_BURST: Duration = Duration::from_millis(500);
/// A connection's first window of ten frames, its handshake, and the frame that is sent before the first pace is told.
const POLICE_FRAMES: u64 = 12;
/// A shaper's: what covers the lateness of timers.
const SHAPE_BURST: Duration = Duration::from_millis(40);
const SHAPE_FRAMES: u64 = 4;
/// How long packets may wait in mode shape. What waits has its departure, so with half of the burst a change of the rate
/// counts for all packets within 100 ms.
const SHAPE_LATENCY: Duration = Duration::from_millis(50);

/// The numbers of one direction's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// [`Mode::Shape`] or [`Mode::Police`].
    pub(crate) mode: Mode,
    pub(crate) rate: Rate,
    pub(crate) burst: Size,
    /// The longest frame, overhead included.
    pub(crate) frame: Size,
    /// The segments that a packet of the container's may hold; none if no cap is needed or possible.
    pub(crate) gso_segments: Option<u32>,
    /// How long packets may wait; none if what may not go is dropped.
    pub(crate) latency: Option<Duration>,
    /// What small packets may add to the bound.
    pub(crate) small: Size,
    pub(crate) limiter: Limiter,
}

impl Plan {
    /// Computes the limit of a direction.
    ///
    /// # Errors
    ///
    /// Burst or reserve are longer than the bucket can hold.
    pub(crate) fn new(
        settings: &Settings,
        rate: Rate,
        direction: Direction,
        interface: Option<&Interface>,
        mode: Mode,
    ) -> Result<Self, AgentError> {
        let mtu = interface.map_or(USUAL_MTU, |interface| interface.mtu);
        let frame = (i64::from(mtu) + ETHERNET + i64::from(settings.overhead)).max(1);
        let frame = Size::from_bytes(frame.unsigned_abs());
        let (usual, frames) = match mode {
            Mode::Shape => (SHAPE_BURST, SHAPE_FRAMES),
            Mode::Auto | Mode::Police => (POLICE_BURST, POLICE_FRAMES),
        };
        let least = Size::from_bytes(frames * frame.bytes());
        let burst =
            settings.burst.map_or_else(|| Burst::Time(usual).at(rate).max(least), |burst| burst.at(rate));
        if burst < frame {
            tracing::warn!("a burst of {burst} is less than a full frame ({frame}); it acts as one frame");
        }
        // Only a veth's other end can be told to send shorter packets.
        let capped =
            direction == Direction::Upload && interface.is_some_and(|interface| interface.peer.is_some());
        let gso_segments = if capped { gso::segments(mode, rate, burst, frame) } else { None };
        // An uncapped packet, too, fits in a share of the burst; where no cap is possible, longer ones add to the bound.
        let segments = match gso_segments {
            Some(segments) => u64::from(segments),
            None if capped => gso::UNLIMITED.div_ceil(frame.bytes()),
            None => 1,
        };
        let latency = latency(settings, mode);
        let parameters = Parameters {
            rate,
            burst,
            frame,
            longest: Size::from_bytes(segments * frame.bytes()),
            reserve: settings.reserve,
            overhead: settings.overhead,
            latency,
        };
        let limiter = parameters.limiter()?;
        let small = Size::from_bytes(limiter.small_bytes(rate));
        Ok(Self { mode, rate, burst, frame, gso_segments, latency, small, limiter })
    }
}

/// How long packets may wait in a mode, as asked for or by default; none where nothing waits.
pub(crate) fn latency(settings: &Settings, mode: Mode) -> Option<Duration> {
    (mode == Mode::Shape).then(|| settings.latency.unwrap_or(SHAPE_LATENCY))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode: _, rate, burst, frame, gso_segments, latency, small, limiter } = self;
        match latency {
            Some(latency) => {
                let horizon = limiter.horizon_bytes(*rate);
                write!(f, "shape to {rate}: what must wait does so, for {latency:?} or two packets, ")?;
                write!(f, "TCP's up to {horizon}b of it")?;
            }
            None => write!(f, "police to {rate}: what may not go is dropped")?,
        }
        write!(f, "; burst {burst}, full frame {frame}, overhead {}", limiter.overhead)?;
        write!(f, "; small packets first, which may add {small} to the bound")?;
        if let Some(segments) = gso_segments {
            write!(f, "; the container's packets are capped at {segments} segments")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{DEFAULT_RESERVE, Hook, Pacing};

    fn plan(rate: &str, burst: Option<&str>, overhead: i32, mode: Mode) -> Plan {
        let rate = rate.parse().unwrap();
        let settings = Settings {
            upload: Some(rate),
            download: None,
            burst: burst.map(|burst| burst.parse().unwrap()),
            latency: None,
            overhead,
            reserve: DEFAULT_RESERVE,
            mode,
            pacing: Pacing::Auto,
            hook: Hook::Auto,
        };
        let peer = Some(crate::interface::Peer { index: 2, namespace: None });
        let interface = Interface { name: "veth0".into(), index: 7, mtu: 1500, gso_max_segs: None, peer };
        Plan::new(&settings, rate, Direction::Upload, Some(&interface), mode).unwrap()
    }

    #[test]
    fn defaults_follow_rate_mode_and_mtu() {
        let police = plan("64kbit", None, 0, Mode::Police);
        assert_eq!(
            (police.frame.bytes(), police.burst.bytes(), police.gso_segments),
            (1514, 18_168, Some(1))
        );
        assert_eq!(plan("1mbit", None, 0, Mode::Police).burst.bytes(), 62_500);
        let shape = plan("100mbit", None, 0, Mode::Shape);
        assert_eq!((shape.burst.bytes(), shape.gso_segments), (500_000, None));
        assert!(police.to_string().contains("64kbit"), "{police}");
    }

    #[test]
    fn overhead_lengthens_the_frame() {
        let plan = plan("1mbit", Some("250ms"), 24, Mode::Police);
        assert_eq!((plan.frame.bytes(), plan.burst.bytes(), plan.limiter.overhead), (1538, 31_250, 24));
    }
}
