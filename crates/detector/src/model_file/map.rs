//! A file seen as memory.
#![expect(unsafe_code, reason = "a memory map is only as constant as the file behind it")]

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::{Advice, Mmap, UncheckedAdvice};

/// Maps the file at `path` for reading.
///
/// A model file must not be changed in place while it is loaded: write a new one and rename it. Weights are
/// copied out before loading ends, so that later changes do no harm.
pub(super) fn map(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: the bytes may change under us only if someone rewrites the file during the load. Whatever
    // they read as then is checked like any other file's, since nothing is assumed of them but their length
    // (every access is bounds-checked against it); a file cut short meanwhile ends the process with SIGBUS.
    let map = unsafe { Mmap::map(&file) }?;
    // Read ahead, rather than wait for the disk at every weight. Only advice: refused, it loads more slowly.
    drop(map.advise(Advice::WillNeed));
    Ok(map)
}

/// Lets the system take back the memory behind `part`, if that lies in `map`; it reads as before.
///
/// Without this, all of a file that is read once stays in memory beside what is made of it.
pub(super) fn release(map: &Mmap, part: &[u8]) {
    let Some(offset) = part.as_ptr().addr().checked_sub(map.as_ptr().addr()) else { return };
    if offset.checked_add(part.len()).is_none_or(|end| end > map.len()) {
        return;
    }
    // SAFETY: the range lies in the map (checked above), which is of a file and only ever read, so that pages
    // that are let go come back from the file with the same bytes.
    let released = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, part.len()) };
    // Refused, the memory stays in use until the file is closed, which harms nothing.
    drop(released);
}
