//! The dynamic loader that an ELF program names: changed for programs that need a newer C library than the host's.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// `PT_INTERP` of `elf.h`.
const INTERPRETER: u32 = 3;
/// Size of a program header and the places of what is used of it and of the file's header, in bytes.
const HEADER: usize = 56;
const TABLE_AT: usize = 32;
const COUNT_AT: usize = 56;
const OFFSET: usize = 8;
const FILE_SIZE: usize = 32;

/// Makes the kernel start `program`, a 64-bit little-endian ELF file, with the dynamic loader `loader`.
///
/// The loader's name is appended to the file and its header turned there, so that it may be of any length: the
/// kernel reads it from the file. The old name stays where it is mapped.
///
/// # Errors
///
/// If the file cannot be read or written or is not such a program.
pub(super) fn set(program: &Path, loader: &Path) -> Result<()> {
    let mut bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let name = CString::new(loader.as_os_str().as_bytes()).context("a path holds a zero byte")?;
    if turn(&mut bytes, name.as_bytes_with_nul()).is_none() {
        bail!("{} is not a dynamically linked ELF program", program.display());
    }
    fs::write(program, bytes).with_context(|| format!("cannot write {}", program.display()))
}

fn turn(bytes: &mut Vec<u8>, name: &[u8]) -> Option<()> {
    // The magic number, 64 bits, little-endian.
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = usize::try_from(u64::from_le_bytes(*bytes.get(TABLE_AT..)?.first_chunk()?)).ok()?;
    let count = usize::from(u16::from_le_bytes(*bytes.get(COUNT_AT..)?.first_chunk()?));
    let end = u64::try_from(bytes.len()).ok()?;
    let header = bytes
        .get_mut(table..)?
        .chunks_exact_mut(HEADER)
        .take(count)
        .find(|header| header.starts_with(&INTERPRETER.to_le_bytes()))?;
    header[OFFSET..OFFSET + 8].copy_from_slice(&end.to_le_bytes());
    header[FILE_SIZE..FILE_SIZE + 8].copy_from_slice(&u64::try_from(name.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(name);
    Some(())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::{Command, ExitStatus};
    use std::time::Duration;

    use super::*;

    /// Runs a program that was written just now. A test beside this one may be starting another, which has the file open
    /// for writing until it runs.
    fn run(program: &Path) -> io::Result<ExitStatus> {
        for _ in 0..200 {
            match Command::new(program).status() {
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                result => return result,
            }
        }
        Command::new(program).status()
    }

    #[test]
    fn a_program_starts_with_a_loader_of_a_long_name() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        fs::copy("/bin/true", &program).unwrap();
        let loader = directory.path().join("l".repeat(100));
        set(&program, &loader).unwrap();
        let absent = run(&program).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound, "the loader is not there yet");
        symlink("/lib64/ld-linux-x86-64.so.2", &loader).unwrap();
        assert!(run(&program).unwrap().success());
    }

    #[test]
    fn other_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        for content in [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x02\x01", b"\x7fELF\x01\x01 of 32 bits"] {
            let file = directory.path().join("file");
            fs::write(&file, content).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
            let error = set(&file, Path::new("/loader")).unwrap_err().to_string();
            assert!(error.contains("file is not"), "{error}");
            assert_eq!(fs::read(&file).unwrap(), content);
        }
    }
}
