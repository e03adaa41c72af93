//! The kernel program, run by the kernel on packets that the test makes (`BPF_PROG_TEST_RUN`).

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{pod, support::can_run};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, PerCpuArray},
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use shaper_common::{
    layout::{COUNTERS_MAP, Config, Counters, Key, LIMITS_MAP, STATES_MAP, UPLOAD, UPLOAD_PROGRAM},
    parameters::Parameters,
    units::Size,
};

/// `TC_ACT_UNSPEC`, which is `TCX_NEXT`, and `TC_ACT_SHOT`.
const NEXT: u32 = u32::MAX;
const SHOT: u32 = 2;

/// Offsets in `struct __sk_buff` (`linux/bpf.h`), whose length is 192.
const GSO_SEGS: usize = 164;
const GSO_SIZE: usize = 176;

/// The interface that a packet of a test run is at: the loopback.
const LOOPBACK: u32 = 1;
/// A slot that is not the first, to see that the programs go by it.
const SLOT: u32 = 5;

struct Program(Ebpf);

impl Program {
    /// Loaded, with a limit of this rate, or without any.
    fn load(rate: Option<&str>, overhead: i32) -> Self {
        let silent = 0_u8;
        let mut ebpf = EbpfLoader::new()
            .override_global(aya_log::LEVEL, &silent, true)
            .load(shaper_agent::OBJECT)
            .unwrap();
        let program: &mut SchedClassifier = ebpf.program_mut(UPLOAD_PROGRAM).unwrap().try_into().unwrap();
        program.load().unwrap();
        if let Some(rate) = rate {
            let bytes = Size::from_bytes;
            let parameters = Parameters {
                rate: rate.parse().unwrap(),
                burst: bytes(3028),
                frame: bytes(1514),
                longest: bytes(1514),
                reserve: Duration::from_secs(1),
                overhead,
                latency: None,
            };
            let config = Config { limiter: parameters.limiter().unwrap(), slot: SLOT, queue: 0, paced: 0 };
            let mut limits: HashMap<_, pod::Key, pod::Config> =
                ebpf.map_mut(LIMITS_MAP).unwrap().try_into().unwrap();
            limits.insert(pod::Key(Key { id: LOOPBACK, hook: UPLOAD }), pod::Config(config), 0).unwrap();
        }
        Self(ebpf)
    }

    fn run(&self, packet: &[u8], gso_segs: u32, gso_size: u32) -> u32 {
        let mut context = [0; 192];
        context[GSO_SEGS..GSO_SEGS + 4].copy_from_slice(&gso_segs.to_ne_bytes());
        context[GSO_SIZE..GSO_SIZE + 4].copy_from_slice(&gso_size.to_ne_bytes());
        let program: &SchedClassifier = self.0.program(UPLOAD_PROGRAM).unwrap().try_into().unwrap();
        let options =
            TestRunOptions { data_in: Some(packet), ctx_in: Some(&context), ..TestRunOptions::default() };
        program.test_run(options).unwrap().return_value
    }

    fn counters(&self) -> Counters {
        let map: PerCpuArray<_, pod::Counters> = self.0.map(COUNTERS_MAP).unwrap().try_into().unwrap();
        let cpus = map.get(&SLOT, 0).unwrap();
        Counters::sum(cpus.iter().map(|cpu| &cpu.0))
    }

    fn arrival(&self) -> u64 {
        let map: Array<_, pod::State> = self.0.map(STATES_MAP).unwrap().try_into().unwrap();
        map.get(&SLOT, 0).unwrap().0.total
    }
}

/// Ethernet, IPv4 and TCP with timestamps, 66 bytes, then payload.
fn tcp(payload: usize) -> Vec<u8> {
    let mut packet = vec![0; 66 + payload];
    packet[12..14].copy_from_slice(&[0x08, 0x00]);
    packet[14] = 0x45;
    packet[23] = 6;
    packet[46] = 0x80;
    packet
}

#[test]
fn every_segment_is_charged_with_its_headers() {
    if !can_run() {
        return;
    }
    // (payload, segments, segment size, overhead, bytes on the wire)
    let cases = [
        (1448, 0, 0, 0, 1514),
        (1448, 1, 1448, 0, 1514),
        (2 * 1448, 2, 1448, 0, 2 * 1514),
        (2 * 1448 + 10, 3, 1448, 0, 2 * 1514 + 76),
        (2 * 1448, 2, 1448, 24, 2 * 1538),
        (100, 0, 0, -14, 152),
    ];
    for (payload, segments, size, overhead, expected) in cases {
        let program = Program::load(Some("64kbit"), overhead);
        assert_eq!(program.run(&tcp(payload), segments, size), NEXT);
        let counters = program.counters();
        assert_eq!(counters.passed_bytes, expected, "{payload} bytes in {segments} segments");
        assert_eq!(counters.gso_packets, u64::from(segments > 1));
    }
}

#[test]
fn bulk_waits_and_small_and_neighbour_packets_pass() {
    if !can_run() {
        return;
    }
    let program = Program::load(Some("1kbit"), 0);
    // 12 s of the rate a packet: the first fills the bucket to its limit, the second is dropped early, the third is
    // admitted on the limit or dropped, the fourth is dropped whatever the clock says.
    for _ in 0..3 {
        program.run(&tcp(1448), 0, 0);
    }
    assert_eq!(program.run(&tcp(1448), 0, 0), SHOT);
    let debt = program.arrival();
    let mut arp = vec![0; 42];
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    assert_eq!(program.run(&arp, 0, 0), NEXT);
    assert!(program.arrival() >= debt);
    let counters = program.counters();
    assert_eq!((counters.early_drops, counters.neighbour_packets), (1, 1), "{counters:?}");
}

#[test]
fn the_reserve_is_for_small_packets() {
    if !can_run() {
        return;
    }
    let program = Program::load(Some("64kbit"), 0);
    while program.run(&tcp(1448), 0, 0) == NEXT {}
    assert_eq!(program.run(&tcp(0), 0, 0), NEXT);
    assert_eq!(program.run(&tcp(63), 0, 0), SHOT);
    let counters = program.counters();
    assert_eq!((counters.small_packets, counters.first_packets), (1, 1));
}

#[test]
fn without_a_configuration_everything_passes() {
    if !can_run() {
        return;
    }
    let program = Program::load(None, 0);
    for _ in 0..100 {
        assert_eq!(program.run(&tcp(1448), 0, 0), NEXT);
    }
    assert_eq!(program.counters().passed_packets, 0);
    assert_eq!(program.arrival(), 0);
}

/// Several CPUs offer packets to one bucket at once, far above the rate: none is lost from the count, and together they
/// keep the theorem's bound.
#[test]
fn cpus_together_keep_the_bound() {
    if !can_run() {
        return;
    }
    const THREADS: u64 = 4;
    const PACKETS: u32 = 200_000;
    const RATE: u64 = 2_000_000_000;
    let program = Program::load(Some("2gbit"), 0);
    let packet = tcp(1448);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let program: &SchedClassifier =
                    program.0.program(UPLOAD_PROGRAM).unwrap().try_into().unwrap();
                let options =
                    TestRunOptions { data_in: Some(&packet), repeat: PACKETS, ..TestRunOptions::default() };
                program.test_run(options).unwrap();
            });
        }
    });
    let counters = program.counters();
    assert_eq!(counters.passed_packets + counters.dropped_packets, THREADS * u64::from(PACKETS));
    let bound = start.elapsed().as_nanos() as u64 * (RATE / 8) / 1_000_000_000 + 3028;
    assert!(counters.passed_bytes <= bound, "{} bytes, {bound} allowed", counters.passed_bytes);
    assert!(counters.passed_packets > 0 && counters.dropped_packets > 0, "{counters:?}");
}
