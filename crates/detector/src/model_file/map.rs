//! A file seen as memory.
#![expect(unsafe_code, reason = "a memory map is only as constant as the file behind it")]

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

/// Maps the file at `path` for reading.
///
/// A model file must not be changed in place while it is loaded: write a new one and rename it. Weights are
/// copied out before loading ends, so that later changes do no harm.
pub(super) fn map(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: the bytes may change under us only if someone rewrites the file during the load. Whatever
    // they read as then is checked like any other file's, since nothing is assumed of them but their length
    // (every access is bounds-checked against it); a file cut short meanwhile ends the process with SIGBUS.
    unsafe { Mmap::map(&file) }
}
