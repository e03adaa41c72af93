//! What an ELF file says that it needs: its loader and its libraries, as the dynamic loader reads them.

use std::path::Path;

use anyhow::{Context, Result};

/// Types of program headers and of entries of the dynamic section, of `elf.h`.
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
/// The size of a program header and of an entry of the dynamic section, in bytes.
const HEADER: usize = 56;
const ENTRY: usize = 16;

/// What an ELF file needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// `e_machine`.
    pub(super) machine: u16,
    /// The dynamic loader that it names, if it is a program that needs one.
    pub(super) loader: Option<String>,
    /// The libraries that it names, in its order.
    pub(super) libraries: Vec<String>,
    /// Folders in which they are looked for first.
    pub(super) folders: Vec<String>,
}

/// Reads what `bytes`, the 64-bit little-endian ELF file `path`, needs.
///
/// # Errors
///
/// It is no such file, or it is cut short.
pub(super) fn needs(bytes: &[u8], path: &Path) -> Result<Needs> {
    read(bytes).with_context(|| format!("{} is not a whole 64-bit little-endian ELF file", path.display()))
}

fn read(bytes: &[u8]) -> Option<Needs> {
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, count) = (word(bytes, 32)?, usize::from(half(bytes, 56)?));
    let headers: Vec<Segment> =
        (0..count).map(|index| Segment::read(bytes.get(table + index * HEADER..)?)).collect::<Option<_>>()?;
    let mut needs = Needs { machine: half(bytes, 18)?, ..Needs::default() };
    if let Some(loader) = headers.iter().find(|header| header.kind == PT_INTERP) {
        needs.loader = Some(text(bytes, loader.offset)?);
    }
    let Some(dynamic) = headers.iter().find(|header| header.kind == PT_DYNAMIC) else { return Some(needs) };
    let entries: Vec<(u64, usize)> = bytes
        .get(dynamic.offset..dynamic.offset.checked_add(dynamic.size)?)?
        .chunks_exact(ENTRY)
        .map(|entry| Some((word(entry, 0)? as u64, word(entry, 8)?)))
        .take_while(|entry| entry.is_none_or(|(tag, _)| tag != DT_NULL))
        .collect::<Option<_>>()?;
    let Some((_, strings)) = entries.iter().find(|(tag, _)| *tag == DT_STRTAB) else { return Some(needs) };
    // The table's place is an address in memory.
    let strings = headers.iter().find_map(|header| header.file_offset(*strings))?;
    for (tag, value) in entries {
        match tag {
            DT_NEEDED => needs.libraries.push(text(bytes, strings.checked_add(value)?)?),
            DT_RPATH | DT_RUNPATH => {
                needs.folders.extend(text(bytes, strings.checked_add(value)?)?.split(':').map(str::to_owned));
            }
            _ => {}
        }
    }
    Some(needs)
}

/// A part of the file that is mapped or looked at.
struct Segment {
    kind: u32,
    offset: usize,
    address: usize,
    size: usize,
}

impl Segment {
    fn read(bytes: &[u8]) -> Option<Self> {
        let kind = u32::from_le_bytes(*bytes.first_chunk()?);
        Some(Self { kind, offset: word(bytes, 8)?, address: word(bytes, 16)?, size: word(bytes, 32)? })
    }

    /// Where in the file the byte is that is mapped at `address`.
    fn file_offset(&self, address: usize) -> Option<usize> {
        let inside = address.checked_sub(self.address).filter(|inside| *inside < self.size)?;
        (self.kind == PT_LOAD).then(|| self.offset + inside)
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

/// The text that ends with a zero byte.
fn text(bytes: &[u8], at: usize) -> Option<String> {
    let text = bytes.get(at..)?.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_this_machine() {
        let path = std::env::current_exe().unwrap();
        let needs = needs(&std::fs::read(&path).unwrap(), &path).unwrap();
        assert!(needs.loader.as_ref().is_some_and(|loader| loader.contains("/ld-linux")), "{needs:?}");
        assert!(needs.libraries.iter().any(|library| library == "libc.so.6"), "{needs:?}");
    }

    #[test]
    fn other_files_and_halves_are_refused() {
        let path = std::env::current_exe().unwrap();
        let whole = std::fs::read(&path).unwrap();
        for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x01\x01", &whole[..60], &whole[..200]] {
            let error = needs(bytes, Path::new("file")).unwrap_err().to_string();
            assert!(error.starts_with("file is not"), "{error}");
        }
    }
}
