//! What is kept of what was fetched, and who may write there. The [crate's documentation](crate) has the layout.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use object_store::ObjectMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::location::Place;

/// How often a process that waits for another's download looks whether it is done.
const LOCK_POLL: Duration = Duration::from_millis(200);
/// The name of the directory of sets in a slot.
const TOGETHER: &str = "together";
/// The longest file name that is taken over from a location, in bytes.
const MAX_NAME: usize = 200;

/// Where fetched models are kept unless told otherwise: `XDG_CACHE_HOME`, or `.cache` in `HOME`.
pub(crate) fn default_directory() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("sluice/models"))
}

/// By what a source tells its versions of an object apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tag {
    e_tag: Option<String>,
    /// In bytes.
    pub(crate) size: u64,
    /// In seconds since 1970; 0 if the source does not say.
    modified: i64,
}

impl Tag {
    /// What a source says of an object.
    pub(crate) fn of(meta: &ObjectMeta) -> Self {
        Self { e_tag: meta.e_tag.clone(), size: meta.size, modified: meta.last_modified.timestamp() }
    }

    /// The ETag, if two contents never have the same (RFC 9110, section 8.8.1).
    pub(crate) fn strong(&self) -> Option<&str> {
        self.e_tag.as_deref().filter(|tag| !tag.starts_with("W/"))
    }

    /// The ETag, strong or weak.
    pub(crate) fn e_tag(&self) -> Option<&str> {
        self.e_tag.as_deref()
    }

    /// Whether the object is the same as one with the tag `other`, as far as the source says.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self == other && self.tells_versions()
    }

    /// Whether the source says anything by which versions of the object could be told apart, but its size.
    pub(crate) fn tells_versions(&self) -> bool {
        self.e_tag.is_some() || self.modified != 0
    }
}

/// A whole file in the cache.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// For people who look into the cache.
    location: String,
    name: String,
    /// Of its content.
    pub(crate) sha256: Digest,
    pub(crate) tag: Tag,
}

/// The part of the cache that belongs to one location.
#[derive(Debug)]
pub(crate) struct Slot {
    directory: PathBuf,
    location: String,
    name: String,
}

/// The right to write into a slot, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Slot {
    /// The slot of `place`, which must name a file, in the cache `root`.
    pub(crate) fn new(root: &Path, place: &Place) -> Self {
        Self {
            directory: root.join(Digest::of(place.identity().as_bytes()).short()),
            location: place.to_string(),
            name: file_name(place.name()),
        }
    }

    /// Waits until no other process fetches into this slot. Dropping the future gives up.
    ///
    /// # Errors
    ///
    /// If the slot cannot be written.
    pub(crate) async fn lock(&self) -> io::Result<Lock> {
        fs::create_dir_all(&self.directory)?;
        let file = File::options().create(true).append(true).open(self.directory.join("lock"))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if !std::mem::replace(&mut told, true) {
                tracing::info!(model = self.location, "another process fetches this model; waiting for it");
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }

    /// The newest whole file.
    pub(crate) fn kept(&self) -> Option<Kept> {
        let kept: Kept = read_json(&self.directory.join("copy.json"))?;
        let whole =
            fs::metadata(self.path(&kept)).is_ok_and(|file| file.is_file() && file.len() == kept.tag.size);
        whole.then_some(kept)
    }

    /// Where it is.
    pub(crate) fn path(&self, kept: &Kept) -> PathBuf {
        // Names are checked when they are written, but the file is anybody's who may write there.
        self.directory.join(kept.sha256.short()).join(file_name(&kept.name))
    }

    /// Where a download is written until it is whole.
    pub(crate) fn partial(&self) -> PathBuf {
        self.directory.join("partial")
    }

    /// How many bytes there are of a download that broke off, and of what.
    pub(crate) fn broken_off(&self) -> Option<(Tag, u64)> {
        let tag: Tag = read_json(&self.directory.join("partial.json"))?;
        let received = fs::metadata(self.partial()).ok()?.len();
        (received > 0 && received < tag.size).then_some((tag, received))
    }

    /// Begins a download of what has that tag.
    pub(crate) fn begin(&self, tag: &Tag) -> io::Result<File> {
        self.discard_partial();
        self.write_json("partial.json", tag)?;
        File::create(self.partial())
    }

    /// Takes up the download that broke off.
    pub(crate) fn take_up(&self) -> io::Result<File> {
        File::options().append(true).open(self.partial())
    }

    /// Throws away a download that is not whole.
    pub(crate) fn discard_partial(&self) {
        // What cannot be removed is overwritten, or was not there.
        let _ = fs::remove_file(self.partial());
        let _ = fs::remove_file(self.directory.join("partial.json"));
    }

    /// Makes the newest file of the download, which is whole.
    pub(crate) fn keep(&self, tag: Tag, sha256: Digest) -> io::Result<Kept> {
        let before = self.kept();
        let kept = Kept { location: self.location.clone(), name: self.name.clone(), sha256, tag };
        let path = self.path(&kept);
        File::open(self.partial())?.sync_all()?;
        fs::create_dir_all(self.directory.join(sha256.short()))?;
        fs::rename(self.partial(), path)?;
        self.write_json("copy.json", &kept)?;
        self.discard_partial();
        self.remove_all_but([Some(sha256), before.map(|kept| kept.sha256)]);
        Ok(kept)
    }

    /// Throws the newest file away.
    pub(crate) fn forget(&self, kept: &Kept) {
        // What cannot be removed is replaced by the next download.
        let _ = fs::remove_file(self.directory.join("copy.json"));
        let _ = fs::remove_file(self.path(kept));
    }

    /// Where links to a file and to others that belong to it are, each set of them in a directory of its own.
    pub(crate) fn together(&self) -> PathBuf {
        self.directory.join(TOGETHER)
    }

    /// Removes files that nobody is about to open any more.
    fn remove_all_but(&self, digests: [Option<Digest>; 2]) {
        let wanted = digests.map(|digest| digest.map(|digest| digest.short()));
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let is_wanted = wanted.iter().flatten().any(|name| entry.file_name() == name.as_str());
            let is_copy = entry.file_name() != TOGETHER;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_copy && !is_wanted {
                // What is left costs space only, and is tried again with the next version.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Writes `value` as the file `name`, which is whole at any time.
    fn write_json(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".json-").tempfile_in(&self.directory)?;
        file.write_all(&serde_json::to_vec_pretty(value)?)?;
        file.as_file().sync_all()?;
        file.persist(self.directory.join(name)).map_err(|error| error.error)?;
        Ok(())
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// A name for a file that is safe, whatever a location has as its last part.
fn file_name(name: &str) -> String {
    let safe = |c: char| if c == '/' || c.is_control() { '_' } else { c };
    let mut name: String = name.chars().map(safe).collect();
    while name.len() > MAX_NAME {
        name.remove(0);
    }
    if name.is_empty() || name == "." || name == ".." { "model".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(root: &Path) -> Slot {
        Slot::new(root, &"http://host/a.pb".parse::<crate::Location>().unwrap().place)
    }

    fn tag(e_tag: &str, size: u64) -> Tag {
        Tag { e_tag: Some(e_tag.into()), size, modified: 0 }
    }

    fn keep(slot: &Slot, content: &str) -> Kept {
        let tag = tag(content, content.len() as u64);
        slot.begin(&tag).unwrap().write_all(content.as_bytes()).unwrap();
        slot.keep(tag, Digest::of(content.as_bytes())).unwrap()
    }

    #[tokio::test]
    async fn the_newest_and_the_one_before_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let slot = slot(root.path());
        let _lock = slot.lock().await.unwrap();
        assert!(slot.kept().is_none());
        let paths = ["one", "two", "three"].map(|content| slot.path(&keep(&slot, content)));
        assert_eq!(paths.each_ref().map(|path| path.exists()), [false, true, true]);
        assert_eq!(slot.path(&slot.kept().unwrap()), paths[2]);
        assert_eq!(paths[2].file_name().unwrap(), "a.pb");
        assert!(!slot.partial().exists());
        // Cut short by somebody, it is not used.
        fs::write(&paths[2], "thre").unwrap();
        assert!(slot.kept().is_none());
    }

    #[tokio::test]
    async fn a_download_that_broke_off_is_known_by_its_tag() {
        let root = tempfile::tempdir().unwrap();
        let slot = slot(root.path());
        let _lock = slot.lock().await.unwrap();
        slot.begin(&tag("x", 10)).unwrap().write_all(b"abc").unwrap();
        assert_eq!(slot.broken_off(), Some((tag("x", 10), 3)));
        slot.take_up().unwrap().write_all(b"defghij").unwrap();
        assert_eq!(slot.broken_off(), None, "whole");
        fs::write(slot.partial(), "abc").unwrap();
        fs::write(slot.directory.join("partial.json"), "{").unwrap();
        assert_eq!(slot.broken_off(), None, "of nobody knows what");
    }

    #[tokio::test(start_paused = true)]
    async fn one_process_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let slot = slot(root.path());
        let first = slot.lock().await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(1), slot.lock()).await.is_err());
        drop(first);
        slot.lock().await.unwrap();
    }

    #[test]
    fn names_and_tags() {
        assert_eq!(file_name("a b.pb"), "a b.pb");
        assert_eq!(file_name("a/../b\n"), "a_.._b_");
        for nothing in ["", ".", ".."] {
            assert_eq!(file_name(nothing), "model");
        }
        assert_eq!(file_name(&("ü".repeat(200) + ".pb")).len(), 199);
        assert_eq!(tag("\"x\"", 1).strong(), Some("\"x\""));
        assert_eq!(tag("W/\"x\"", 1).strong(), None);
        assert!(tag("x", 1).same(&tag("x", 1)) && !tag("x", 1).same(&tag("x", 2)));
        let unknown = Tag { e_tag: None, size: 1, modified: 0 };
        assert!(!unknown.same(&unknown));
    }
}
