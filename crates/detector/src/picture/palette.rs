//! Whether a PNG file's palette is one, read from its chunks without unpacking a pixel (PNG specification, section 11.2.2).
//!
//! The decoder of `image` (png 0.18) takes it for granted that a palette has whole colours, at most 256, and panics if not.

/// What stands before the first chunk.
const SIGNATURE: usize = 8;
/// A chunk's length and name.
const HEADER: usize = 8;
/// What follows a chunk.
const CHECKSUM: usize = 4;
/// Bytes of a colour, and most colours.
const COLOUR: usize = 3;
const MAX_COLOURS: usize = 256;

/// Whether every palette in the file consists of 1 to 256 colours.
pub(super) fn is_whole(file: &[u8]) -> bool {
    let mut chunks = file.get(SIGNATURE..).unwrap_or_default();
    while let Some((header, rest)) = chunks.split_at_checked(HEADER) {
        let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let is_whole = length.is_multiple_of(COLOUR) && (COLOUR..=MAX_COLOURS * COLOUR).contains(&length);
        if &header[4..] == b"PLTE" && !is_whole {
            return false;
        }
        chunks = rest.get(length.saturating_add(CHECKSUM)..).unwrap_or_default();
    }
    true
}
