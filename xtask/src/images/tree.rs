//! The files of an image, before they are an archive.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A root file system: what is at each path, which begins without a slash. Folders above an entry need not be added.
#[derive(Debug, Default)]
pub(super) struct Tree(BTreeMap<String, Entry>);

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A folder of a user.
    Folder {
        /// The owner's number, which is also the group's.
        owner: u32,
        /// Its permissions.
        mode: u32,
    },
    /// A file of root.
    File {
        /// Its content.
        content: Vec<u8>,
        /// Whether it is a program.
        executable: bool,
    },
    /// A symbolic link.
    Link(String),
}

impl Tree {
    /// Adds a folder that belongs to `owner`.
    pub(super) fn folder(&mut self, path: &str, owner: u32, mode: u32) {
        self.put(path, Entry::Folder { owner, mode });
    }

    /// Adds a file of root.
    pub(super) fn file(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.put(path, Entry::File { content: content.into(), executable: false });
    }

    /// Adds a program of root.
    pub(super) fn program(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.put(path, Entry::File { content: content.into(), executable: true });
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.put(path, Entry::Link(target.into()));
    }

    /// Removes what is at `path`.
    pub(super) fn remove(&mut self, path: &str) {
        self.0.remove(path.trim_matches('/'));
    }

    fn put(&mut self, path: &str, entry: Entry) {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/') {
            let above = Entry::Folder { owner: 0, mode: 0o755 };
            self.0.entry(path[..at].to_owned()).or_insert(above);
        }
        self.0.insert(path.to_owned(), entry);
    }

    /// The entries, each after the folders above it.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Writes the files below `folder`, for a container engine to copy; owners are the image's to set.
    ///
    /// # Errors
    ///
    /// Something cannot be written.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        use std::os::unix::fs::{PermissionsExt, symlink};
        for (path, entry) in self.entries() {
            let to = folder.join(path);
            let write = || match entry {
                Entry::Folder { .. } => fs::create_dir_all(&to),
                Entry::Link(target) => symlink(target, &to),
                Entry::File { content, executable } => {
                    fs::write(&to, content)?;
                    let mode = if *executable { 0o755 } else { 0o644 };
                    fs::set_permissions(&to, fs::Permissions::from_mode(mode))
                }
            };
            write().with_context(|| format!("cannot write {}", to.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_what_is_in_them() {
        let mut tree = Tree::default();
        tree.program("usr/bin/program", b"x".as_slice());
        tree.link("/bin", "usr/bin");
        tree.folder("var/lib/sluice/", 65532, 0o750);
        tree.file("usr/bin-more", "yz");
        let paths: Vec<_> = tree.entries().map(|(path, _)| path).collect();
        assert_eq!(
            paths,
            ["bin", "usr", "usr/bin", "usr/bin-more", "usr/bin/program", "var", "var/lib", "var/lib/sluice"]
        );
        let directory = tempfile::tempdir().unwrap();
        tree.write(directory.path()).unwrap();
        assert_eq!(fs::read(directory.path().join("bin/program")).unwrap(), b"x");
    }
}
