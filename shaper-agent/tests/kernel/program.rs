//! The kernel program, run by the kernel on packets that the test makes (`BPF_PROG_TEST_RUN`).

use std::time::Duration;

use crate::support::can_run;
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, PerCpuArray},
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use shaper_common::{
    bucket::Bucket,
    layout::{CONFIG_MAP, COUNTERS_MAP, PROGRAM, STATE_MAP},
    units::Size,
};

/// `TC_ACT_UNSPEC`, which is `TCX_NEXT`, and `TC_ACT_SHOT`.
const NEXT: u32 = u32::MAX;
const SHOT: u32 = 2;

/// Offsets in `struct __sk_buff` (`linux/bpf.h`), whose length is 192.
const GSO_SEGS: usize = 164;
const GSO_SIZE: usize = 176;

/// Fields of the counters, in their order.
const PASSED_PACKETS: usize = 0;
const PASSED_BYTES: usize = 1;
const DROPPED_PACKETS: usize = 2;
const SMALL_PACKETS: usize = 4;
const NEIGHBOUR_PACKETS: usize = 6;
const GSO_PACKETS: usize = 7;

struct Program(Ebpf);

impl Program {
    /// Loaded, with a bucket of this rate and the default burst, or without any configuration.
    fn load(rate: Option<&str>, overhead: i32) -> Self {
        let silent = 0_u8;
        let mut ebpf = EbpfLoader::new()
            .override_global(aya_log::LEVEL, &silent, true)
            .load(shaper_agent::OBJECT)
            .unwrap();
        let program: &mut SchedClassifier = ebpf.program_mut(PROGRAM).unwrap().try_into().unwrap();
        program.load().unwrap();
        if let Some(rate) = rate {
            let bytes = Size::from_bytes;
            let bucket =
                Bucket::new(rate.parse().unwrap(), bytes(3028), bytes(1514), Duration::from_secs(1)).unwrap();
            let mut config: Array<_, [u64; 4]> = ebpf.map_mut(CONFIG_MAP).unwrap().try_into().unwrap();
            let config_words =
                [bucket.ticks_per_byte, bucket.limit, bucket.reserve, u64::from(overhead.cast_unsigned())];
            config.set(0, config_words, 0).unwrap();
        }
        Self(ebpf)
    }

    fn run(&self, packet: &[u8], gso_segs: u32, gso_size: u32) -> u32 {
        let mut context = [0; 192];
        context[GSO_SEGS..GSO_SEGS + 4].copy_from_slice(&gso_segs.to_ne_bytes());
        context[GSO_SIZE..GSO_SIZE + 4].copy_from_slice(&gso_size.to_ne_bytes());
        let program: &SchedClassifier = self.0.program(PROGRAM).unwrap().try_into().unwrap();
        let options =
            TestRunOptions { data_in: Some(packet), ctx_in: Some(&context), ..TestRunOptions::default() };
        program.test_run(options).unwrap().return_value
    }

    fn counters(&self) -> [u64; 10] {
        let map: PerCpuArray<_, [u64; 10]> = self.0.map(COUNTERS_MAP).unwrap().try_into().unwrap();
        map.get(&0, 0).unwrap().iter().fold([0; 10], |mut sum, cpu| {
            sum.iter_mut().zip(cpu).for_each(|(sum, count)| *sum += count);
            sum
        })
    }

    fn state(&self) -> u64 {
        let map: Array<_, u64> = self.0.map(STATE_MAP).unwrap().try_into().unwrap();
        map.get(&0, 0).unwrap()
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
        assert_eq!(counters[PASSED_BYTES], expected, "{payload} bytes in {segments} segments");
        assert_eq!(counters[GSO_PACKETS], u64::from(segments > 1));
    }
}

#[test]
fn bulk_waits_and_small_and_neighbour_packets_pass() {
    if !can_run() {
        return;
    }
    let program = Program::load(Some("1kbit"), 0);
    // 12 s of the rate a packet: the first fills the bucket to its limit, the second is admitted on it or dropped, the third
    // is dropped whatever the clock says.
    program.run(&tcp(1448), 0, 0);
    program.run(&tcp(1448), 0, 0);
    assert_eq!(program.run(&tcp(1448), 0, 0), SHOT);
    let debt = program.state();
    let mut arp = vec![0; 42];
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    assert_eq!(program.run(&arp, 0, 0), NEXT);
    assert!(program.state() >= debt);
    let counters = program.counters();
    assert_eq!((counters[DROPPED_PACKETS], counters[NEIGHBOUR_PACKETS]), (1, 1), "{counters:?}");
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
    assert_eq!(program.counters()[SMALL_PACKETS], 1);
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
    assert_eq!(program.counters()[PASSED_PACKETS], 100);
    assert_eq!(program.state(), 0);
}
