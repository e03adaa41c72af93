//! What the chunks of a WebP file say, read without unpacking a pixel (RFC 9649, RFC 6386 section 9.1).
//!
//! The decoder takes memory for what a chunk promises before it knows whether that is there: for a note of the camera's by
//! the chunk's length, for a frame by the size in its own header, whatever the size of the picture is.

/// A chunk's name and its length.
const HEADER: usize = 8;
/// The file's header: `RIFF`, the length of what follows, `WEBP`.
const FILE_HEADER: usize = 12;
/// What is in the chunk of an animation's frame before the frame's own chunks.
const FRAME_HEADER: usize = 16;

/// What keeps a file from being unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// It has fewer bytes than its header says, or a chunk goes beyond the end.
    CutShort,
    /// A frame is larger than the picture.
    LargeFrame,
}

/// The file without what follows its end, checked: it is whole, and no frame has more rows or columns than the picture, of
/// this width and height.
pub(super) fn whole(file: &[u8], picture: (u32, u32)) -> Result<&[u8], Problem> {
    let end = number(file.get(4..HEADER)).ok_or(Problem::CutShort)?.saturating_add(HEADER);
    let file = file.get(..end).ok_or(Problem::CutShort)?;
    let chunks = file.get(FILE_HEADER..).ok_or(Problem::CutShort)?;
    check_chunks(chunks, |name, content| match name {
        b"ANMF" => check_chunks(content.get(FRAME_HEADER..).unwrap_or_default(), |name, content| {
            check_frame(name, content, picture)
        }),
        _ => check_frame(name, content, picture),
    })?;
    Ok(file)
}

/// Checks each of `chunks` by its name and content.
fn check_chunks(
    mut chunks: &[u8],
    check: impl Fn(&[u8], &[u8]) -> Result<(), Problem>,
) -> Result<(), Problem> {
    while let Some(length) = number(chunks.get(4..HEADER)) {
        let (header, rest) = chunks.split_at(HEADER);
        check(&header[..4], rest.get(..length).ok_or(Problem::CutShort)?)?;
        // A chunk of an odd length is followed by a byte, which some programs leave out at the end.
        chunks = rest.get(length + length % 2..).unwrap_or_default();
    }
    Ok(())
}

/// Checks the size of a frame; chunks that are none, and those that the decoder refuses itself, are sound.
fn check_frame(name: &[u8], content: &[u8], (width, height): (u32, u32)) -> Result<(), Problem> {
    /// Bits of a side.
    const SIDE: u32 = 0x3fff;
    let (columns, rows) = match (name, content) {
        // A tag of three bytes, a start code of three, the sides with two bits of scaling each.
        (b"VP8 ", &[_, _, _, _, _, _, a, b, c, d, ..]) => {
            (u32::from_le_bytes([a, b, 0, 0]) & SIDE, u32::from_le_bytes([c, d, 0, 0]) & SIDE)
        }
        // A signature, the sides less one.
        (b"VP8L", &[_, a, b, c, d, ..]) => {
            let sides = u32::from_le_bytes([a, b, c, d]);
            ((sides & SIDE) + 1, (sides >> 14 & SIDE) + 1)
        }
        _ => return Ok(()),
    };
    if columns > width || rows > height { Err(Problem::LargeFrame) } else { Ok(()) }
}

/// A number as the file has it.
fn number(bytes: Option<&[u8]>) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes?.try_into().ok()?)).ok()
}
