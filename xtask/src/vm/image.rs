//! The kernel inside a compressed image: an emulated processor would take half a minute to unpack it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::interrupt::Interrupt;
use crate::tool;

/// Places in the header of an x86 kernel image, from "The Linux/x86 Boot Protocol".
const SETUP_SECTORS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: usize = 512;

/// A compression: its first bytes, the program that undoes it, its files' ending, and the bytes that the kernel's
/// build appends (the size, for all but gzip, which has its own).
const COMPRESSIONS: [(&[u8], &str, &str, usize); 3] =
    [(b"\xfd7zXZ\0", "xz", "xz", 4), (b"\x28\xb5\x2f\xfd", "zstd", "zst", 4), (b"\x1f\x8b", "gzip", "gz", 0)];

/// Unpacks the kernel in the image `image` to the file `vmlinux`.
///
/// # Errors
///
/// If the image cannot be read or is of an unknown form, or unpacking fails.
pub(super) fn unpack(image: &Path, vmlinux: &Path, interrupt: &Interrupt) -> Result<()> {
    let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let payload =
        payload(&bytes).with_context(|| format!("{} is not an x86 kernel image", image.display()))?;
    let Some((_, program, ending, appended)) =
        COMPRESSIONS.iter().find(|(magic, ..)| payload.starts_with(magic))
    else {
        bail!("{} is compressed in a way that is not known here", image.display());
    };
    let compressed = vmlinux.with_added_extension(ending);
    fs::write(&compressed, &payload[..payload.len().saturating_sub(*appended)])
        .with_context(|| format!("cannot write {}", compressed.display()))?;
    let mut decompress = Command::new(program);
    decompress.args(["-d", "-q", "-f"]).arg(&compressed);
    tool::run(decompress, interrupt)?;
    // zstd keeps what it unpacks, the others do not.
    fs::remove_file(&compressed).ok();
    let size = fs::metadata(vmlinux).map(|facts| facts.len()).unwrap_or_default();
    ensure!(size > 1 << 20, "{program} made no kernel of {}", image.display());
    Ok(())
}

/// The compressed kernel in an image.
fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| usize::try_from(u32::from_le_bytes(*image.get(at..)?.first_chunk()?)).ok();
    if image.get(MAGIC..)?.first_chunk()? != b"HdrS" {
        return None;
    }
    // 0 stands for 4 for the sake of images older than the header.
    let sectors = match *image.get(SETUP_SECTORS)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let begin = (sectors + 1) * SECTOR + word(PAYLOAD_OFFSET)?;
    image.get(begin..begin.checked_add(word(PAYLOAD_LENGTH)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image with one setup sector and `payload` at offset 16 of what follows.
    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * SECTOR + 16];
        image[SETUP_SECTORS] = 1;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[PAYLOAD_OFFSET] = 16;
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4]
            .copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        image.extend_from_slice(payload);
        image.extend_from_slice(b"what follows");
        image
    }

    #[test]
    fn a_compressed_kernel_comes_out_whole() {
        let directory = tempfile::tempdir().unwrap();
        let (plain, image_file, vmlinux) = (
            directory.path().join("plain"),
            directory.path().join("vmlinuz"),
            directory.path().join("vmlinux"),
        );
        let kernel: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
        fs::write(&plain, &kernel).unwrap();
        for (_, program, _, appended) in COMPRESSIONS {
            let mut payload = Command::new(program).args(["-c", "-q"]).arg(&plain).output().unwrap().stdout;
            payload.extend_from_slice(&[7; 4][..appended]);
            fs::write(&image_file, image(&payload)).unwrap();
            unpack(&image_file, &vmlinux, &Interrupt::default()).unwrap();
            assert_eq!(fs::read(&vmlinux).unwrap(), kernel, "{program}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3, "something was left");
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(payload(b"short"), None);
        assert_eq!(payload(&[0; 4096]), None);
        let mut cut = image(b"payload");
        cut.truncate(2 * SECTOR + 18);
        assert_eq!(payload(&cut), None);
        assert_eq!(payload(&image(b"payload")), Some(&b"payload"[..]));
    }
}
