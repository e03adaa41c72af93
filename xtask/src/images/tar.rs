//! Archives in the "ustar" form of POSIX.1-1988: the same bytes for the same entries, whenever and wherever they are
//! written.

use super::tree::{Entry, Tree};

/// Everything in an archive is a multiple of this.
const BLOCK: usize = 512;
/// Lengths of a header's fields for a name and for what stands before it.
const NAME: usize = 100;
const PREFIX: usize = 155;

/// An archive that grows by one entry at a time.
#[derive(Debug)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    /// The time of every entry, in seconds since 1970.
    time: u64,
}

impl Archive {
    /// An archive whose entries are all of this time.
    pub(super) fn new(time: u64) -> Self {
        Self { bytes: Vec::new(), time }
    }

    /// The archive of `tree`.
    pub(super) fn of(tree: &Tree, time: u64) -> Vec<u8> {
        let mut archive = Self::new(time);
        for (path, entry) in tree.entries() {
            match entry {
                Entry::Folder { owner, mode } => archive.folder(path, *owner, *mode),
                Entry::File { content, executable } => {
                    archive.entry(path, b'0', if *executable { 0o755 } else { 0o644 }, 0, "", content);
                }
                Entry::Link(target) => archive.entry(path, b'2', 0o777, 0, target, &[]),
            }
        }
        archive.finish()
    }

    /// Adds a folder.
    pub(super) fn folder(&mut self, path: &str, owner: u32, mode: u32) {
        self.entry(&format!("{path}/"), b'5', mode, owner, "", &[]);
    }

    /// Adds a file of root.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, b'0', 0o644, 0, "", content);
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }

    fn entry(&mut self, path: &str, kind: u8, mode: u32, owner: u32, link: &str, content: &[u8]) {
        let (prefix, name) = split(path);
        let mut header = [0; BLOCK];
        let mut put = |at: usize, field: &[u8]| header[at..at + field.len()].copy_from_slice(field);
        put(0, name.as_bytes());
        put(100, format!("{mode:07o}").as_bytes());
        put(108, format!("{owner:07o}").as_bytes());
        put(116, format!("{owner:07o}").as_bytes());
        put(124, format!("{:011o}", content.len()).as_bytes());
        put(136, format!("{:011o}", self.time).as_bytes());
        // The sum is made with spaces in its own place.
        put(148, b"        ");
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        put(345, prefix.as_bytes());
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
    }
}

/// A path as the two fields of a header hold it.
fn split(path: &str) -> (&str, &str) {
    if path.len() <= NAME {
        return ("", path);
    }
    path.match_indices('/')
        .map(|(at, _)| (&path[..at], &path[at + 1..]))
        .find(|(prefix, name)| prefix.len() <= PREFIX && name.len() <= NAME && !name.is_empty())
        .expect(
            "paths in images are those of Debian's libraries and of the images' own files, which are short",
        )
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn tar_reads_what_was_written() {
        let mut tree = Tree::default();
        let deep = format!("{}/{}", "d".repeat(90), "f".repeat(40));
        tree.file(&deep, "deep");
        tree.program("usr/bin/program", vec![7; 1000]);
        tree.link("bin", "usr/bin");
        tree.folder("var/lib/sluice", 65532, 0o750);
        let bytes = Archive::of(&tree, 86_400);
        assert_eq!(bytes.len() % BLOCK, 0);
        let mut list = Command::new("tar")
            .args(["--list", "--verbose", "--numeric-owner", "--utc", "--full-time"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        list.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = list.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let has = |wanted: &[&str]| lines.iter().any(|line| wanted.iter().all(|word| line.contains(word)));
        assert!(has(&["-rwxr-xr-x", "0/0", "1000", "1970-01-02", "usr/bin/program"]), "{text}");
        assert!(has(&["lrwxrwxrwx", "bin", "->", "usr/bin"]), "{text}");
        assert!(has(&["drwxr-x---", "65532/65532", "var/lib/sluice/"]), "{text}");
        assert!(has(&["4", &deep]), "{text}");
        assert_eq!(bytes, Archive::of(&tree, 86_400));
    }
}
