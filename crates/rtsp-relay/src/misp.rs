//! The MISP precision time stamp (MISB ST 0604) of an H.264 access unit in byte-stream form (Annex B).
//!
//! It is an SEI message of type `user_data_unregistered` (ITU-T H.264, D.1.7) with this payload:
//!
//! ```text
//! 16 bytes  UUID, the ASCII letters "MISPmicrosectime"
//!  1 byte   time status, 0x1F
//! 11 bytes  microseconds, big-endian, 0xFF after each two bytes: b0 b1 FF b2 b3 FF b4 b5 FF b6 b7
//! ```

/// The UUID that marks a time stamp in microseconds.
const UUID: &[u8; 16] = b"MISPmicrosectime";
/// Time status: locked, no discontinuity; the low five bits are reserved and set.
const STATUS: u8 = 0x1F;
/// Payload bytes: UUID, status, time.
const PAYLOAD_LEN: usize = 16 + 1 + 11;

const NAL_SLICE: u8 = 1;
const NAL_IDR_SLICE: u8 = 5;
const NAL_SEI: u8 = 6;
const NAL_SPS: u8 = 7;
const SEI_USER_DATA_UNREGISTERED: usize = 5;

/// `access_unit` with a time stamp of `micros` before its first slice.
///
/// Returned as it came if it has a time stamp already, or no slice.
pub fn stamped(access_unit: Vec<u8>, micros: u64) -> Vec<u8> {
    if time_of(&access_unit).is_some() {
        return access_unit;
    }
    let first_slice = nal_units(&access_unit).find(|nal| (NAL_SLICE..=NAL_IDR_SLICE).contains(&nal.kind()));
    let Some(at) = first_slice.map(|nal| nal.start_code) else {
        return access_unit;
    };
    let nal = sei_nal(micros);
    let mut stamped = Vec::with_capacity(access_unit.len() + nal.len() + 4);
    stamped.extend_from_slice(&access_unit[..at]);
    stamped.extend_from_slice(&[0, 0, 0, 1]);
    stamped.extend_from_slice(&nal);
    stamped.extend_from_slice(&access_unit[at..]);
    stamped
}

/// The time stamp of `access_unit` in microseconds, if it carries one.
pub fn time_of(access_unit: &[u8]) -> Option<u64> {
    nal_units(access_unit)
        .filter(|nal| nal.kind() == NAL_SEI)
        .find_map(|nal| time_in_sei(&without_emulation_prevention(&nal.bytes[1..])))
}

/// Whether `access_unit` brings a sequence parameter set along.
pub(crate) fn has_sequence_parameters(access_unit: &[u8]) -> bool {
    nal_units(access_unit).any(|nal| nal.kind() == NAL_SPS)
}

/// One NAL unit of a byte stream.
struct NalUnit<'a> {
    /// Where its start code begins, leading zero bytes included.
    start_code: usize,
    /// Header and payload, trailing zero bytes excluded; never empty.
    bytes: &'a [u8],
}

impl NalUnit<'_> {
    /// `nal_unit_type`.
    fn kind(&self) -> u8 {
        self.bytes[0] & 0x1F
    }
}

/// The NAL units of a byte stream in order.
fn nal_units(stream: &[u8]) -> impl Iterator<Item = NalUnit<'_>> {
    let mut next = start_code_from(stream, 0);
    std::iter::from_fn(move || {
        loop {
            let begin = next? + 3;
            next = start_code_from(stream, begin);
            let bytes = &stream[begin..next.unwrap_or(stream.len())];
            let bytes = &bytes[..bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count()];
            if !bytes.is_empty() {
                let zeros = stream[..begin - 1].iter().rev().take_while(|byte| **byte == 0).count();
                return Some(NalUnit { start_code: begin - 1 - zeros, bytes });
            }
        }
    })
}

/// Where `00 00 01` is next in `stream`, at or after `from`.
fn start_code_from(stream: &[u8], from: usize) -> Option<usize> {
    stream[from..].windows(3).position(|bytes| bytes == [0, 0, 1]).map(|at| from + at)
}

/// An SEI NAL unit with the time stamp, without its start code.
fn sei_nal(micros: u64) -> Vec<u8> {
    let mut payload = Vec::with_capacity(PAYLOAD_LEN + 3);
    payload.extend_from_slice(&[SEI_USER_DATA_UNREGISTERED as u8, PAYLOAD_LEN as u8]);
    payload.extend_from_slice(UUID);
    payload.push(STATUS);
    for (index, pair) in micros.to_be_bytes().chunks(2).enumerate() {
        if index > 0 {
            payload.push(0xFF);
        }
        payload.extend_from_slice(pair);
    }
    // rbsp_trailing_bits: a one, then zeros up to the byte's end
    payload.push(0x80);
    let mut nal = vec![NAL_SEI];
    nal.extend(with_emulation_prevention(&payload));
    nal
}

/// The time stamp among the messages of an SEI payload (ITU-T H.264, 7.3.2.3).
fn time_in_sei(mut messages: &[u8]) -> Option<u64> {
    loop {
        let (kind, rest) = coded_number(messages)?;
        let (size, rest) = coded_number(rest)?;
        let payload = rest.get(..size)?;
        if kind == SEI_USER_DATA_UNREGISTERED && payload.starts_with(UUID) && size >= PAYLOAD_LEN {
            let time = &payload[UUID.len() + 1..PAYLOAD_LEN];
            return Some(time.chunks(3).flat_map(|three| &three[..2]).fold(0, |t, b| t << 8 | u64::from(*b)));
        }
        messages = &rest[size..];
    }
}

/// The type or size of an SEI message: bytes are summed up to the first that is not 0xFF.
fn coded_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let full = bytes.iter().take_while(|byte| **byte == 0xFF).count();
    let last = *bytes.get(full)?;
    Some((full * 255 + usize::from(last), &bytes[full + 1..]))
}

/// `payload` with a 3 after each two zeros that a byte of 0 to 3 follows (ITU-T H.264, 7.4.1.1).
fn with_emulation_prevention(payload: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(payload.len());
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte <= 3 {
            escaped.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        escaped.push(byte);
    }
    escaped
}

/// The inverse of [`with_emulation_prevention`].
fn without_emulation_prevention(escaped: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(escaped.len());
    let mut zeros = 0;
    for &byte in escaped {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        payload.push(byte);
    }
    payload
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AUD: &[u8] = &[0, 0, 0, 1, 0x09, 0xF0];
    const SPS: &[u8] = &[0, 0, 0, 1, 0x67, 0x64, 0x00, 0x1F];
    const IDR: &[u8] = &[0, 0, 0, 1, 0x65, 0x88, 0x84, 0x00];
    const SECOND_SLICE: &[u8] = &[0, 0, 1, 0x65, 0x10, 0x20];

    fn access_unit() -> Vec<u8> {
        [AUD, SPS, IDR, SECOND_SLICE].concat()
    }

    #[test]
    fn the_stamp_goes_before_the_first_slice() {
        let stamped = stamped(access_unit(), 0x0102_0304_0506_0708);
        let stamp = [
            &[0, 0, 0, 1, 0x06, 0x05, 28][..],
            b"MISPmicrosectime",
            &[0x1F, 1, 2, 0xFF, 3, 4, 0xFF, 5, 6, 0xFF, 7, 8, 0x80],
        ]
        .concat();
        assert_eq!(stamped, [AUD, SPS, &stamp, IDR, SECOND_SLICE].concat());
    }

    #[test]
    fn a_stamp_that_is_there_is_kept() {
        let once = stamped(access_unit(), 40_000);
        assert_eq!(stamped(once.clone(), 80_000), once);
        assert_eq!(time_of(&once), Some(40_000));
    }

    #[test]
    fn no_slice_no_stamp() {
        assert_eq!(stamped([AUD, SPS].concat(), 1), [AUD, SPS].concat());
        assert_eq!(stamped(vec![], 1), Vec::<u8>::new());
        assert_eq!(stamped(vec![0, 0, 1], 1), vec![0, 0, 1]);
    }

    #[test]
    fn other_messages_before_the_stamp_are_skipped() {
        let mut sei = vec![0, 0, 0, 1, NAL_SEI];
        // buffering period of 2 bytes, then user data of someone else's, 300 bytes long
        sei.extend([0, 2, 9, 9]);
        sei.extend([5, 0xFF, 45]);
        sei.extend([7; 300]);
        sei.extend(&sei_nal(123)[1..]);
        assert_eq!(time_of(&[AUD, &sei, IDR].concat()), Some(123));
    }

    #[test]
    fn emulation_prevention_as_the_standard_has_it() {
        assert_eq!(with_emulation_prevention(&[0, 0, 0]), [0, 0, 3, 0]);
        assert_eq!(with_emulation_prevention(&[0, 0, 3, 0, 0, 1]), [0, 0, 3, 3, 0, 0, 3, 1]);
        assert_eq!(with_emulation_prevention(&[0, 0, 4]), [0, 0, 4]);
    }

    proptest! {
        #[test]
        fn any_time_comes_back(micros: u64) {
            prop_assert_eq!(time_of(&stamped(access_unit(), micros)), Some(micros));
        }

        #[test]
        fn emulation_prevention_is_undone_and_hides_start_codes(payload in prop::collection::vec(0u8..5, 0..64)) {
            let escaped = with_emulation_prevention(&payload);
            prop_assert_eq!(without_emulation_prevention(&escaped), payload);
            prop_assert!(!escaped.windows(3).any(|three| three[..2] == [0, 0] && three[2] < 3));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(6), any::<u8>()], 0..200)) {
            let stamped = stamped(bytes.clone(), 5);
            prop_assert!(stamped.len() >= bytes.len());
        }
    }
}
