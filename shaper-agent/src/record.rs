//! What the agent notes of each limit, beside it in the kernel, so that the next agent can take it over or clean up.

use std::{fs, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use shaper_common::{
    layout::{CGROUP, DOWNLOAD, Key, UPLOAD},
    units::{Burst, Rate, Size},
};

use crate::{
    error::AgentError,
    plan,
    spec::{Direction, Hook, Mode, Pacing, Settings},
};

/// The room for a record. The notes are JSON, so that agents of other versions can read them.
pub(crate) const RECORD_BYTES: usize = 2048;

/// The notes on one limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Whose traffic, as the user named it: a [`Target`](crate::spec::Target).
    pub(crate) target: String,
    /// Which way.
    pub(crate) direction: Direction,
    /// Where the program is.
    pub(crate) place: Place,
    /// How the traffic is limited.
    pub(crate) rate_bit_s: u64,
    pub(crate) burst_bytes: u64,
    /// What the user asked for.
    pub(crate) asked: Asked,
    /// [`Mode::Shape`] or [`Mode::Police`].
    pub(crate) mode: Mode,
    /// Why this mode, if the agent chose it.
    pub(crate) mode_reason: String,
    /// Whether senders are told how fast they may go.
    pub(crate) paced: bool,
    /// What holds the packets that wait.
    pub(crate) queue: Option<Queue>,
    /// What became of the container's end.
    pub(crate) gso: Option<Gso>,
    /// The agent that holds the limit; it may have ended.
    pub(crate) owner: Owner,
    /// When the limit was put in force.
    pub(crate) since_unix_ms: u64,
}

/// [`Settings`] as they were asked for, but for the rates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// None if the agent chose.
    pub(crate) burst: Option<AskedBurst>,
    /// None if the agent chose.
    pub(crate) latency_ns: Option<u64>,
    pub(crate) overhead_bytes: i32,
    pub(crate) reserve_ms: u64,
    pub(crate) mode: Mode,
    pub(crate) pacing: Pacing,
    pub(crate) hook: Hook,
}

/// A burst as the user asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AskedBurst {
    Bytes(u64),
    Ns(u64),
}

/// Where a limit's program is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub(crate) enum Place {
    /// At an interface.
    Interface {
        name: String,
        index: u32,
        /// [`Hook::Tcx`] or [`Hook::Clsact`].
        hook: Hook,
        /// The agent has added the clsact qdisc.
        own_qdisc: bool,
    },
    /// At a cgroup's egress.
    Cgroup {
        path: PathBuf,
        /// The agent has made it.
        own: bool,
    },
}

/// What holds the packets that wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub(crate) enum Queue {
    /// An `ifb` of the interface's own, with `fq`.
    Ifb { name: String, index: u32 },
    /// `fq` as the interface's own root qdisc.
    Root,
}

/// The GSO limit of the container's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gso {
    /// The interface's number in its namespace.
    pub(crate) peer: u32,
    /// Its namespace, as the agent's own numbers it.
    pub(crate) namespace: Option<i32>,
    /// What it was before, in segments.
    pub(crate) before: u32,
    /// What it is now.
    pub(crate) segments: u32,
}

/// A process, told apart from a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) pid: u32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks from boot to its start.
    pub(crate) started: u64,
}

impl Record {
    /// The limit's key in the maps.
    pub(crate) fn key(&self, slot: u32) -> Key {
        match (&self.place, self.direction) {
            (Place::Interface { index, .. }, Direction::Upload) => Key { id: *index, hook: UPLOAD },
            (Place::Interface { index, .. }, Direction::Download) => Key { id: *index, hook: DOWNLOAD },
            (Place::Cgroup { .. }, _) => Key { id: slot, hook: CGROUP },
        }
    }

    /// The settings that the limit came from, for this direction alone.
    pub(crate) fn settings(&self) -> Settings {
        let rate = Rate::from_bits_per_second(self.rate_bit_s);
        let (upload, download) = match self.direction {
            Direction::Upload => (rate, None),
            Direction::Download => (None, rate),
        };
        let Asked { burst, latency_ns, overhead_bytes, reserve_ms, mode, pacing, hook } = self.asked;
        Settings {
            upload,
            download,
            burst: burst.map(|burst| match burst {
                AskedBurst::Bytes(bytes) => Burst::Bytes(Size::from_bytes(bytes)),
                AskedBurst::Ns(ns) => Burst::Time(Duration::from_nanos(ns)),
            }),
            latency: latency_ns.map(Duration::from_nanos),
            overhead: overhead_bytes,
            reserve: Duration::from_millis(reserve_ms),
            mode,
            pacing,
            hook,
        }
    }

    /// How long packets may wait, in milliseconds; none if nothing does.
    pub(crate) fn latency_ms(&self) -> Option<f64> {
        plan::latency(&self.settings(), self.mode).map(|latency| latency.as_secs_f64() * 1e3)
    }

    /// The limit in words: `iface:veth1 upload`.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.target, self.direction)
    }

    pub(crate) fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Result<Option<Self>, AgentError> {
        let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(RECORD_BYTES);
        if length == 0 {
            return Ok(None);
        }
        serde_json::from_slice(&bytes[..length]).map(Some).map_err(|_| AgentError::OtherVersion)
    }

    /// # Errors
    ///
    /// The names in it are too long.
    pub(crate) fn to_bytes(&self) -> Result<[u8; RECORD_BYTES], AgentError> {
        let mut bytes = [0; RECORD_BYTES];
        let text =
            serde_json::to_vec(self).map_err(|error| AgentError::System("write a record", error.into()))?;
        let room = bytes.get_mut(..text.len()).ok_or_else(|| AgentError::TooLong(self.target.clone()))?;
        room.copy_from_slice(&text);
        Ok(bytes)
    }
}

impl From<&Settings> for Asked {
    fn from(settings: &Settings) -> Self {
        let &Settings { upload: _, download: _, burst, latency, overhead, reserve, mode, pacing, hook } =
            settings;
        Self {
            burst: burst.map(|burst| match burst {
                Burst::Bytes(size) => AskedBurst::Bytes(size.bytes()),
                Burst::Time(time) => AskedBurst::Ns(nanoseconds(time)),
            }),
            latency_ns: latency.map(nanoseconds),
            overhead_bytes: overhead,
            reserve_ms: reserve.as_millis().try_into().unwrap_or(u64::MAX),
            mode,
            pacing,
            hook,
        }
    }
}

impl Owner {
    /// This process.
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        Self { pid, started: started(pid).unwrap_or_default() }
    }

    /// Whether the process still runs.
    pub(crate) fn lives(self) -> bool {
        started(self.pid) == Some(self.started)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// When a process started; none if it has ended, even if its parent has not taken note yet.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command's name in brackets, and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(target: &str) -> Record {
        Record {
            target: target.into(),
            direction: Direction::Upload,
            place: Place::Interface { name: "veth1".into(), index: 7, hook: Hook::Tcx, own_qdisc: false },
            rate_bit_s: 64_000,
            burst_bytes: 3028,
            asked: Asked {
                burst: Some(AskedBurst::Ns(250_000_000)),
                latency_ns: None,
                overhead_bytes: -4,
                reserve_ms: 1000,
                mode: Mode::Auto,
                pacing: Pacing::Auto,
                hook: Hook::Auto,
            },
            mode: Mode::Police,
            mode_reason: "this kernel has no fq".into(),
            paced: true,
            queue: None,
            gso: Some(Gso { peer: 2, namespace: Some(0), before: 65_535, segments: 1 }),
            owner: Owner::this(),
            since_unix_ms: 1,
        }
    }

    #[test]
    fn records_are_written_and_read() {
        let record = record("iface:veth1");
        assert_eq!(Record::from_bytes(&record.to_bytes().unwrap()).unwrap(), Some(record.clone()));
        assert_eq!(Record::from_bytes(&[0; RECORD_BYTES]).unwrap(), None);
        assert!(Record::from_bytes(&[b'x'; RECORD_BYTES]).is_err());
        let settings = record.settings();
        assert_eq!(settings.burst, Some(Burst::Time(Duration::from_millis(250))));
        assert_eq!(Asked::from(&settings), record.asked);
        assert_eq!(record.latency_ms(), None);
        assert_eq!(record.key(3), Key { id: 7, hook: UPLOAD });
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(record(&"x".repeat(RECORD_BYTES)).to_bytes().is_err());
    }

    #[test]
    fn this_process_lives() {
        let this = Owner::this();
        assert!(this.lives());
        assert!(!Owner { started: this.started + 1, ..this }.lives());
    }
}
