//! Whether a WebP file is whole, read from its chunks without unpacking a pixel (RFC 9649, section 2).

/// A chunk's name and its length.
const HEADER: usize = 8;
/// The file's header: `RIFF`, the length of what follows, `WEBP`.
const FILE_HEADER: usize = 12;

/// Whether the file has as many bytes as its header says, and each chunk lies within them.
///
/// The decoder takes memory for a note of the camera's before it knows whether the note is there.
pub(super) fn is_whole(file: &[u8]) -> bool {
    let Some(length) = number(file.get(4..HEADER)) else { return false };
    let Some(mut chunks) = file.get(..HEADER.saturating_add(length)).and_then(|file| file.get(FILE_HEADER..))
    else {
        return false;
    };
    while let Some(length) = number(chunks.get(4..HEADER)) {
        // A chunk of an odd length is followed by a byte, which some programs leave out at the end.
        let Some(content) = chunks.get(HEADER..).filter(|rest| length <= rest.len()) else { return false };
        chunks = content.get(length + length % 2..).unwrap_or_default();
    }
    true
}

/// A number as the file has it.
fn number(bytes: Option<&[u8]>) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes?.try_into().ok()?)).ok()
}
