//! The media time in an H.264 access unit: MISP precision time stamps (MISB ST 0604) in SEI messages of type
//! `user_data_unregistered` (ITU-T H.264, annex D.1.7).

/// `nal_unit_type` of supplemental enhancement information.
const SEI: u8 = 6;
/// `payloadType` of `user_data_unregistered`.
const USER_DATA_UNREGISTERED: usize = 5;
/// The UUID of a time stamp in microseconds.
const MICROSECONDS: &[u8; 16] = b"MISPmicrosectime";

/// How the NAL units of an access unit are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A start code before each (H.264 annex B).
    StartCodes,
    /// A big-endian length of so many bytes (1 to 4) before each (`avc`, as in MP4).
    LengthPrefixed(usize),
}

/// The MISP time stamp of `access_unit` in microseconds, if it carries one. Damaged data give `None`, never a
/// panic.
pub fn media_time_us(access_unit: &[u8], framing: Framing) -> Option<u64> {
    let mut rest = access_unit;
    while let Some((unit, after)) = next_unit(rest, framing) {
        rest = after;
        match unit.first().map(|header| header & 0x1f) {
            Some(SEI) => {
                if let Some(time) = time_in_sei(&unescaped(&unit[1..])) {
                    return Some(time);
                }
            }
            // Slices: SEI comes before them, and searching a picture for start codes costs time.
            Some(1..=5) => return None,
            _ => {}
        }
    }
    None
}

fn next_unit(data: &[u8], framing: Framing) -> Option<(&[u8], &[u8])> {
    match framing {
        Framing::LengthPrefixed(size) => {
            let (prefix, rest) = data.split_at_checked(size)?;
            let length = prefix.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            rest.split_at_checked(length)
        }
        Framing::StartCodes => {
            let unit = &data[start_code(data)? + 3..];
            // Zeros before the next start code are trailing_zero_8bits or its own first byte; an SEI message
            // ends by its own size, so they do no harm.
            Some(unit.split_at(start_code(unit).unwrap_or(unit.len())))
        }
    }
}

fn start_code(data: &[u8]) -> Option<usize> {
    data.windows(3).position(|bytes| bytes == [0, 0, 1])
}

/// Takes out the emulation prevention bytes: the 3 of every `00 00 03`.
fn unescaped(payload: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(payload.len());
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        raw.push(byte);
    }
    raw
}

fn time_in_sei(mut messages: &[u8]) -> Option<u64> {
    // The smallest message is two bytes; a lone 0x80 is the trailing bits.
    while messages.len() > 2 {
        let (kind, rest) = variable_length(messages)?;
        let (size, rest) = variable_length(rest)?;
        let (payload, rest) = rest.split_at_checked(size)?;
        if kind == USER_DATA_UNREGISTERED
            && let Some(time) = time_in_user_data(payload)
        {
            return Some(time);
        }
        messages = rest;
    }
    None
}

/// A number as SEI writes it: 255 for every full 255, then the rest.
fn variable_length(data: &[u8]) -> Option<(usize, &[u8])> {
    let full = data.iter().take_while(|byte| **byte == 0xff).count();
    Some((full * 255 + usize::from(*data.get(full)?), &data[full + 1..]))
}

/// UUID, status byte, then the time: two bytes and 0xFF in turn, most significant first.
fn time_in_user_data(payload: &[u8]) -> Option<u64> {
    let stamp = payload.strip_prefix(MICROSECONDS)?;
    let &[_status, a, b, 0xff, c, d, 0xff, e, f, 0xff, g, h, ..] = stamp else { return None };
    Some(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(raw: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        let mut zeros = 0;
        for &byte in raw {
            if zeros >= 2 && byte <= 3 {
                payload.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            payload.push(byte);
        }
        payload
    }

    fn sei(time: u64) -> Vec<u8> {
        let mut raw = vec![5, 28];
        raw.extend(MICROSECONDS);
        raw.push(0x1f);
        for (index, pair) in time.to_be_bytes().chunks(2).enumerate() {
            raw.extend(if index > 0 { &[0xff][..] } else { &[] });
            raw.extend(pair);
        }
        raw.push(0x80);
        [vec![SEI], escaped(&raw)].concat()
    }

    fn framed(units: &[&[u8]], framing: Framing) -> Vec<u8> {
        let mut data = Vec::new();
        for unit in units {
            match framing {
                Framing::StartCodes => data.extend([0, 0, 0, 1]),
                Framing::LengthPrefixed(size) => {
                    data.extend(&(unit.len() as u64).to_be_bytes()[8 - size..]);
                }
            }
            data.extend(*unit);
        }
        data
    }

    const FRAMINGS: [Framing; 3] =
        [Framing::StartCodes, Framing::LengthPrefixed(4), Framing::LengthPrefixed(2)];

    #[test]
    fn a_known_access_unit() {
        // Delimiter, time stamp 0x0000_0000_0001_E240 = 123 456 us with its zeros escaped, slice.
        let unit = [
            &[0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 6, 5, 28][..],
            b"MISPmicrosectime",
            &[0x1f, 0, 0, 0xff, 0, 0, 0xff, 0, 1, 0xff, 0xe2, 0x40, 0x80, 0, 0, 0, 1, 0x65, 0x88],
        ]
        .concat();
        assert_eq!(media_time_us(&unit, Framing::StartCodes), Some(123_456));
    }

    #[test]
    fn other_messages_come_first() {
        // Buffering period (type 0), then a foreign user data message of 300 bytes (size written as 255 + 45).
        let mut raw = vec![0, 2, 0, 0, 5, 255, 45];
        raw.extend([7; 300]);
        let time = sei(42);
        raw.extend(&time[1..]);
        let unit = [vec![SEI], escaped(&raw[..raw.len() - time.len() + 1]), time[1..].to_vec()].concat();
        for framing in FRAMINGS {
            assert_eq!(media_time_us(&framed(&[&[9, 0xf0], &unit, &[0x65, 1]], framing), framing), Some(42));
        }
    }

    #[test]
    fn none_without_a_stamp_or_behind_the_slices() {
        for framing in FRAMINGS {
            assert_eq!(media_time_us(&framed(&[&[9, 0xf0], &[0x65, 1]], framing), framing), None);
            assert_eq!(media_time_us(&framed(&[&[0x41, 1], &sei(1)], framing), framing), None);
            assert_eq!(media_time_us(&[], framing), None);
        }
    }

    proptest! {
        #[test]
        fn every_time_comes_back(time in any::<u64>(), which in 0..3usize) {
            let framing = FRAMINGS[which];
            let unit = framed(&[&[0x67, 1, 2], &sei(time), &[0x65, 0, 0, 3, 1]], framing);
            prop_assert_eq!(media_time_us(&unit, framing), Some(time));
        }

        #[test]
        fn noise_is_survived(data in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(6), any::<u8>()], 0..200)) {
            for framing in FRAMINGS {
                media_time_us(&data, framing);
            }
        }

        #[test]
        fn a_cut_stamp_is_none(cut in 0..28usize) {
            let whole = sei(0x1122_3344_5566_7788);
            prop_assert_eq!(media_time_us(&framed(&[&whole[..cut]], Framing::LengthPrefixed(4)), Framing::LengthPrefixed(4)), None);
        }
    }
}
