//! What an upload through a limit tells.

use serde::{Deserialize, Serialize};

use super::lane::Sending;
use super::ping::Answers;
use super::trace::Trace;
use super::upload::Sent;
use crate::statistics::{bytes_between, jain, percentile, window_excess};

/// Seconds at the start that rates leave out: the burst, and TCP finding its pace.
pub const SETTLING_S: f64 = 5.0;
/// Bytes of a full Ethernet frame at an MTU of 1500.
const FRAME: f64 = 1514.0;

/// What was measured. Figures that the kind of measurement does not give are left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// How long it was sent, in seconds.
    pub seconds: f64,
    /// Payload bits a second that passed the limit for the first time, after the first five seconds (of a run shorter
    /// than ten: after its first half).
    pub payload_bit_s: f64,
    /// The most payload that full frames at the rate carry, in bit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling_bit_s: Option<f64>,
    /// `payload_bit_s / ceiling_bit_s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_of_ceiling: Option<f64>,
    /// Segments that were sent again, of all that were sent.
    pub retransmitted_share: f64,
    /// The uploads, one by one.
    pub flows: Vec<Flow>,
    /// Jain's index of the uploads' payload rates, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jain: Option<f64>,
    /// The smallest upload's payload against an equal share, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smallest_share: Option<f64>,
    /// Bytes on the wire in the first second of sending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_second_bytes: Option<u64>,
    /// The same against one second of the rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_second_of_rate: Option<f64>,
    /// The most bytes by which any window of the trace exceeds rate times its length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst_window_bytes: Option<f64>,
    /// The burst that the limit says it allows, without what it keeps for small packets beyond that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_bytes: Option<u64>,
    /// `worst_window_bytes - burst_bytes`: above zero the limit let more through than it promises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above_burst_bytes: Option<f64>,
    /// Round trips of one byte over TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub small_tcp: Option<RoundTrips>,
    /// Round trips of one byte over UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub small_udp: Option<RoundTrips>,
    /// Processor seconds of the whole machine that each gigabyte of payload cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_s_per_gb: Option<f64>,
    /// How many processors were busy with other things just before; what they cost is in `cpu_s_per_gb` too.
    pub background_cpus: f64,
    /// Packets that the trace missed; if not 0, what comes from the trace is too low.
    pub trace_lost: u64,
    /// Payload bytes that the receiving programs got.
    pub received_bytes: u64,
    /// Payload bytes that the trace saw for the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traced_bytes: Option<u64>,
    /// From the start of the limit's program or command until the limit was in force, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_ms: Option<f64>,
}

/// One upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Flow {
    /// Its congestion control.
    pub congestion: String,
    /// Its payload bits a second, over the same time as the sum's.
    pub payload_bit_s: f64,
    /// Segments that it sent, those sent again among them.
    pub segments_out: u32,
    /// Segments that it sent again.
    pub retransmitted: u32,
    /// The sender's smoothed round-trip time at the end, in milliseconds.
    pub srtt_ms: f64,
    /// Segments that arrived with a congestion mark (ECN).
    pub marked: u32,
}

/// How long small packets took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct RoundTrips {
    /// How many were answered or, over TCP, waited for until the end.
    pub count: usize,
    /// How many had no answer.
    pub unanswered: u64,
    /// Half took at most this long, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 took at most this long.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// From which second to which rates are taken.
fn settled(seconds: f64) -> (f64, f64) {
    (SETTLING_S.min(seconds / 2.0), seconds)
}

impl Traffic {
    /// Judges what was sent through a limit of `rate` bit/s (if there was one) that allows `burst` bytes at once (if it
    /// says so).
    pub fn judge(sending: &Sending, trace: Option<&Trace>, rate: Option<u64>, burst: Option<u64>) -> Self {
        let sent = &sending.sent;
        let mut traffic = Self {
            seconds: sending.seconds,
            burst_bytes: burst,
            background_cpus: sending.background_cpus,
            received_bytes: sent.iter().map(|sent| sent.received).sum(),
            ..Self::default()
        };
        traffic.judge_flows(sent, trace);
        match trace {
            Some(trace) => traffic.judge_trace(trace, rate),
            None => {
                let gigabytes = traffic.received_bytes as f64 / 1e9;
                traffic.cpu_s_per_gb = (gigabytes > 0.0).then(|| sending.cpu.as_secs_f64() / gigabytes);
            }
        }
        if let (Some(rate), Some(mss)) = (rate, sent.iter().map(|sent| sent.info.mss).max()) {
            let ceiling = rate as f64 * f64::from(mss) / FRAME;
            traffic.ceiling_bit_s = Some(ceiling);
            traffic.payload_of_ceiling = Some(traffic.payload_bit_s / ceiling);
        }
        if let Some([tcp, udp]) = &sending.answers {
            traffic.small_tcp = RoundTrips::of(tcp);
            traffic.small_udp = RoundTrips::of(udp);
        }
        traffic
    }

    /// What the uploads' own counters and their share of the trace tell.
    fn judge_flows(&mut self, sent: &[Sent], trace: Option<&Trace>) {
        let (from, to) = settled(self.seconds);
        let start = trace.map_or(0.0, first_payload);
        let payload_bit_s = |sent: &Sent| match trace {
            Some(trace) => {
                let settled = |at: f64| (start + from..start + to).contains(&at);
                let packets = trace.packets.iter().filter(|packet| packet.port == sent.port);
                let bytes: u64 =
                    packets.filter(|packet| settled(packet.at)).map(|packet| u64::from(packet.fresh)).sum();
                bytes as f64 * 8.0 / (to - from)
            }
            None => sent.received as f64 * 8.0 / self.seconds,
        };
        self.flows = sent
            .iter()
            .map(|sent| Flow {
                congestion: sent.congestion.clone(),
                payload_bit_s: payload_bit_s(sent),
                segments_out: sent.info.segments_out,
                retransmitted: sent.info.retransmitted,
                srtt_ms: f64::from(sent.info.srtt_us) / 1e3,
                marked: sent.info.delivered_ce,
            })
            .collect();
        let shares: Vec<f64> = self.flows.iter().map(|flow| flow.payload_bit_s).collect();
        self.payload_bit_s = shares.iter().sum();
        let sum = |field: fn(&Flow) -> u32| self.flows.iter().map(|flow| f64::from(field(flow))).sum::<f64>();
        self.retransmitted_share = sum(|flow| flow.retransmitted) / sum(|flow| flow.segments_out).max(1.0);
        if shares.len() > 1 {
            self.jain = jain(&shares);
            let equal = self.payload_bit_s / shares.len() as f64;
            self.smallest_share =
                shares.iter().copied().reduce(f64::min).map(|least| least / equal.max(1e-9));
        }
    }

    /// What only the trace tells.
    fn judge_trace(&mut self, trace: &Trace, limited: Option<u64>) {
        self.trace_lost = trace.lost;
        self.traced_bytes = Some(trace.packets.iter().map(|packet| u64::from(packet.fresh)).sum());
        let Some(rate) = limited else { return };
        let bytes_s = rate as f64 / 8.0;
        let packets: Vec<(f64, u64)> =
            trace.packets.iter().map(|packet| (packet.at, u64::from(packet.wire))).collect();
        let start = first_payload(trace);
        let first = bytes_between(&packets, start, start + 1.0);
        self.first_second_bytes = Some(first);
        self.first_second_of_rate = Some(first as f64 / bytes_s);
        let worst = window_excess(&packets, bytes_s);
        self.worst_window_bytes = Some(worst);
        self.above_burst_bytes = self.burst_bytes.map(|burst| worst - burst as f64);
    }
}

/// When the first payload passed, in the trace's seconds.
fn first_payload(trace: &Trace) -> f64 {
    trace.packets.iter().find(|packet| packet.fresh > 0).map_or(0.0, |packet| packet.at)
}

impl RoundTrips {
    fn of(answers: &Answers) -> Option<Self> {
        let times = &answers.round_trips_ms;
        Some(Self {
            count: times.len(),
            unanswered: answers.unanswered,
            p50_ms: percentile(times, 0.5)?,
            p99_ms: percentile(times, 0.99)?,
            max_ms: percentile(times, 1.0)?,
        })
    }
}
