//! Whether a JPEG file is whole.
//!
//! Decoders fill what is missing of a truncated file with grey, which is no picture to draw conclusions from.

const MARKER: u8 = 0xFF;
const START_OF_IMAGE: u8 = 0xD8;
const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;
const RESTART_0: u8 = 0xD0;
const RESTART_7: u8 = 0xD7;
const TEMPORARY: u8 = 0x01;

/// Whether the file's segments lead to its end-of-image marker (ITU-T T.81, B.1 and B.2). What follows the marker
/// does not matter, and neither do the end-of-image markers of thumbnails, which lie inside segments.
pub fn is_whole(file: &[u8]) -> bool {
    let mut at = 0;
    loop {
        // A marker: one or more 0xFF, then its code.
        if file.get(at) != Some(&MARKER) {
            return false;
        }
        while file.get(at) == Some(&MARKER) {
            at += 1;
        }
        let Some(&code) = file.get(at) else {
            return false;
        };
        at += 1;
        match code {
            END_OF_IMAGE => return true,
            START_OF_IMAGE | TEMPORARY | RESTART_0..=RESTART_7 => continue,
            _ => {}
        }
        let Some(&[high, low]) = file.get(at..at + 2) else {
            return false;
        };
        at += usize::from(u16::from_be_bytes([high, low])).max(2);
        if code == START_OF_SCAN {
            match end_of_scan(file, at) {
                Some(end) => at = end,
                None => return false,
            }
        }
    }
}

/// Where the next marker after entropy-coded data is: one that is neither a stuffed zero nor a restart.
fn end_of_scan(file: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += file.get(at..)?.iter().position(|byte| *byte == MARKER)?;
        match *file.get(at + 1)? {
            0 | RESTART_0..=RESTART_7 => at += 2,
            MARKER => at += 1,
            _ => return Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start, an EXIF segment with a thumbnail's end marker in it, a scan with a stuffed byte and a restart, end.
    const FILE: &[u8] = &[
        0xFF, 0xD8, 0xFF, 0xE1, 0, 6, 0xFF, 0xD9, 1, 2, 0xFF, 0xDA, 0, 3, 7, 1, 2, 0xFF, 0x00, 3, 0xFF, 0xD0,
        4, 0xFF, 0xFF, 0xD9,
    ];

    #[test]
    fn whole_with_or_without_bytes_behind() {
        assert!(is_whole(FILE));
        assert!(is_whole(&[FILE, b"trailing"].concat()));
    }

    #[test]
    fn every_beginning_is_not_whole() {
        for length in 0..FILE.len() {
            assert!(!is_whole(&FILE[..length]), "{length}");
        }
    }

    #[test]
    fn a_scan_after_a_scan() {
        let progressive = [&FILE[..FILE.len() - 3], &[0xFF, 0xDA, 0, 2, 9, 9, 0xFF, 0xD9]].concat();
        assert!(is_whole(&progressive));
    }
}
