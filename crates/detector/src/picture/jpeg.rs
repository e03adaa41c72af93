//! How a JPEG file is built, read from its markers without unpacking a pixel (ITU-T T.81, annex B).

const MARKER: u8 = 0xFF;
const START_OF_IMAGE: u8 = 0xD8;
const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;
const RESTART_0: u8 = 0xD0;
const RESTART_7: u8 = 0xD7;
const TEMPORARY: u8 = 0x01;
/// The first and the last of the frame headers; three codes between them are something else.
const FRAME_0: u8 = 0xC0;
const FRAME_15: u8 = 0xCF;
const NO_FRAMES: [u8; 3] = [0xC4, 0xC8, 0xCC];
/// Frames whose coefficients come once and whole, Huffman coded: baseline and extended sequential.
const SEQUENTIAL: [u8; 2] = [FRAME_0, 0xC1];

/// What the markers of a whole file say.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Structure {
    /// Frame headers; a picture has one.
    pub(super) frames: usize,
    /// Scans; a sequential frame has no more of them than components.
    pub(super) scans: usize,
    /// Whether the frame is sequential and its first scan leaves out a component of it: each component, or some
    /// of them, has a scan of its own.
    pub(super) scans_apart: bool,
}

/// Follows the file's segments to its end-of-image marker; none if they do not lead there. What follows the
/// marker does not matter, and neither do the end-of-image markers of thumbnails, which lie inside segments.
///
/// Decoders fill what is missing of a truncated file with grey, which is no picture to draw conclusions from.
pub(super) fn structure(file: &[u8]) -> Option<Structure> {
    let mut found = Structure::default();
    // Components of a sequential frame whose first scan has not been seen.
    let mut awaited = None;
    let mut at = 0;
    loop {
        // A marker: one or more 0xFF, then its code.
        if file.get(at) != Some(&MARKER) {
            return None;
        }
        while file.get(at) == Some(&MARKER) {
            at += 1;
        }
        let code = *file.get(at)?;
        at += 1;
        match code {
            END_OF_IMAGE => return Some(found),
            START_OF_IMAGE | TEMPORARY | RESTART_0..=RESTART_7 => continue,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([*file.get(at)?, *file.get(at + 1)?])).max(2);
        let content = file.get(at + 2..at + length)?;
        at += length;
        match code {
            START_OF_SCAN => {
                found.scans += 1;
                if let Some(components) = awaited.take() {
                    found.scans_apart = content.first().is_some_and(|&count| count < components);
                }
                at = end_of_scan(file, at)?;
            }
            FRAME_0..=FRAME_15 if !NO_FRAMES.contains(&code) => {
                found.frames += 1;
                // Precision, height, width, then the number of components.
                awaited = content.get(5).copied().filter(|_| SEQUENTIAL.contains(&code));
            }
            _ => {}
        }
    }
}

/// Where the next marker after entropy-coded data is: one that is neither a stuffed zero nor a restart.
fn end_of_scan(file: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr::memchr(MARKER, file.get(at..)?)?;
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

    /// A frame of this kind with three components, then scans of so many components each.
    fn file(frame: u8, scans: &[u8]) -> Vec<u8> {
        let mut file = vec![0xFF, 0xD8, 0xFF, frame, 0, 17, 8, 0, 8, 0, 8, 3];
        file.extend([1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]);
        for &components in scans {
            file.extend([0xFF, START_OF_SCAN, 0, 3, components, 9, 9]);
        }
        file.extend([0xFF, END_OF_IMAGE]);
        file
    }

    #[test]
    fn whole_with_or_without_bytes_behind() {
        assert!(structure(FILE).is_some());
        assert!(structure(&[FILE, b"trailing"].concat()).is_some());
    }

    #[test]
    fn every_beginning_is_not_whole() {
        for file in [FILE, &file(FRAME_0, &[1, 2])] {
            for length in 0..file.len() {
                assert_eq!(structure(&file[..length]), None, "{length}");
            }
        }
    }

    #[test]
    fn scans_of_a_sequential_frame() {
        for (frame, scans, apart) in [
            (0xC0, &[3][..], false),
            (0xC0, &[1, 1, 1], true),
            (0xC1, &[1, 2], true),
            (0xC2, &[3, 1, 1, 1], false),
            (0xC2, &[1, 1, 1], false),
        ] {
            let expected = Structure { frames: 1, scans: scans.len(), scans_apart: apart };
            assert_eq!(structure(&file(frame, scans)), Some(expected));
        }
    }

    #[test]
    fn frame_headers_are_counted() {
        let once = file(FRAME_0, &[3]);
        let twice = [&once[..21], &once[2..]].concat();
        assert_eq!(structure(&twice).unwrap().frames, 2);
        assert_eq!(structure(FILE).unwrap().frames, 0);
    }
}
