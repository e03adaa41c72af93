//! The archive from which a kernel makes its first root: cpio in the "newc" form.

/// Types of files, of `linux/stat.h`.
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
/// The name that ends an archive.
const END: &str = "TRAILER!!!";

/// An archive that grows by one entry at a time.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds the folder `name`; the folders above must have been added.
    pub(super) fn folder(&mut self, name: &str) {
        self.entry(name, FOLDER | 0o755, &[]);
    }

    /// Adds the executable file `name` in a folder that has been added.
    pub(super) fn file(&mut self, name: &str, content: &[u8]) {
        self.entry(name, FILE | 0o755, content);
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry(END, 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        // inode, mode, uid, gid, links, time, size, device, device of a node, length of the name, checksum
        let fields =
            [self.entries, mode, 0, 0, 1, 0, length(content.len()), 0, 0, 0, 0, length(name.len() + 1), 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A length as the form has it.
fn length(length: usize) -> u32 {
    u32::try_from(length).expect("a guest's first files are far smaller than 4 GB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_laid_out_as_the_kernel_reads_them() {
        let mut archive = Archive::default();
        archive.folder("bin");
        archive.file("bin/sh", b"hello");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        let second = text[1..].find("070701").unwrap() + 1;
        assert_eq!(second % 4, 0);
        assert_eq!(second, 116, "110 bytes of header and `bin` with its zero, padded");
        // mode of an executable file, and 5 bytes in it
        assert_eq!(&text[second + 14..second + 22], "000081ed");
        assert_eq!(&text[second + 54..second + 62], "00000005");
        assert_eq!(&text[second + 94..second + 102], "00000007");
        assert_eq!(&text[second + 110..second + 117], "bin/sh\0");
        assert_eq!(&text[second + 120..second + 125], "hello");
        assert!(text.trim_end_matches('\0').ends_with(END));
    }
}
