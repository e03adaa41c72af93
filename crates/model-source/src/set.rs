//! Files that make one model together: Darknet keeps a network's form, its weights and its classes' names in files that
//! differ in their ending.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::iter;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::digest::Digest;
use crate::download::blocking;
use crate::error::SourceError;
use crate::fetch::Fetched;
use crate::location::Place;

/// Their endings, and whether there is no model without the file.
const ENDINGS: [(&str, bool); 3] = [("cfg", true), ("weights", true), ("names", false)];
/// The most files that make a model.
pub(crate) const LARGEST: usize = ENDINGS.len();

/// A file that belongs to another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Companion {
    pub(crate) place: Place,
    /// Whether there is no model without it.
    pub(crate) is_needed: bool,
}

/// The file at `path`, and those beside it that make one model with it.
pub(crate) fn beside(path: &Path) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    let others = others(path).map(|(ending, _)| path.with_extension(ending));
    files.extend(others.filter(|other| other.is_file()));
    files
}

/// What makes one model with the file at `place`, if it is there.
pub(crate) fn companions(place: &Place) -> Vec<Companion> {
    let name = Path::new(place.name());
    let others = others(name).map(|(ending, is_needed)| Companion {
        place: place.clone().renamed(&name.with_extension(ending).to_string_lossy()),
        is_needed,
    });
    others.collect()
}

/// The other endings, if a file of that name is one of a set.
fn others(name: &Path) -> impl Iterator<Item = (&'static str, bool)> {
    let own = name.extension().and_then(|own| own.to_str()).unwrap_or_default();
    let is_one = ENDINGS.iter().any(|(ending, _)| own == *ending);
    let own = own.to_owned();
    ENDINGS.into_iter().filter(move |(ending, _)| is_one && own != *ending)
}

/// Puts a file that was fetched and `others` that belong to it into one directory, under its name, and returns where it
/// is there. There is nothing to do if it is the only one.
///
/// # Errors
///
/// If the cache cannot be written.
pub(crate) async fn together(first: &Fetched, others: &[Fetched]) -> Result<PathBuf, SourceError> {
    if others.is_empty() {
        return Ok(first.path.clone());
    }
    let files = || iter::once(first).chain(others);
    let sets = first.together.clone();
    let all = files().map(|file| file.sha256.to_string()).collect::<String>();
    let directory = sets.join(Digest::of(all.as_bytes()).short());
    let named = |file: &Fetched| {
        let ending = file.path.extension().unwrap_or_default();
        first.path.with_extension(ending).file_name().unwrap_or_default().to_owned()
    };
    let path = directory.join(named(first));
    let links: Vec<_> = files().map(|file| (file.path.clone(), named(file))).collect();
    let work = move || {
        if !directory.is_dir() {
            link(&sets, &directory, &links)?;
        }
        remove_all_but(&sets, &directory);
        Ok(())
    };
    blocking(work).await.map_err(|source| SourceError::Cache { path: first.together.clone(), source })?;
    Ok(path)
}

/// Makes `directory` with links in it to files by the names given. It is there with all of them, or not at all.
fn link(sets: &Path, directory: &Path, links: &[(PathBuf, OsString)]) -> io::Result<()> {
    fs::create_dir_all(sets)?;
    let unfinished = tempfile::Builder::new().prefix(".set-").tempdir_in(sets)?;
    for (file, name) in links {
        let to = unfinished.path().join(name);
        // Not every file system has links.
        fs::hard_link(file, &to).or_else(|_| fs::copy(file, &to).map(drop))?;
    }
    match fs::rename(unfinished.path(), directory) {
        Ok(()) => {
            // It has another name now.
            let _ = unfinished.keep();
            Ok(())
        }
        // Another process was faster.
        Err(_) if directory.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes sets that nobody is about to open any more: all but `directory` and the newest of the others.
fn remove_all_but(sets: &Path, directory: &Path) {
    let mut others: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(sets).into_iter().flatten().flatten() {
        let is_set = !entry.file_name().to_string_lossy().starts_with('.') && entry.path() != directory;
        if let Ok(made) = entry.metadata().and_then(|metadata| metadata.modified())
            && is_set
        {
            others.push((made, entry.path()));
        }
    }
    others.sort();
    others.pop();
    for (_, path) in others {
        // What is left costs the names of links only, and is tried again with the next set.
        let _ = fs::remove_dir_all(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<String> {
        let place = text.parse::<crate::Location>().unwrap().place;
        companions(&place).iter().map(|companion| companion.place.identity()).collect()
    }

    #[test]
    fn what_belongs_to_a_url() {
        assert_eq!(
            places("https://host/m/a.b.weights?key=1"),
            ["https://host/m/a.b.cfg?key=1", "https://host/m/a.b.names?key=1"]
        );
        assert_eq!(places("s3://bucket/y.cfg"), ["s3://bucket/y.weights", "s3://bucket/y.names"]);
        assert_eq!(places("s3://bucket/dir/y.names"), ["s3://bucket/dir/y.cfg", "s3://bucket/dir/y.weights"]);
        for alone in ["https://host/a.pb", "s3://bucket/weights", "https://host/weights"] {
            assert!(places(alone).is_empty(), "{alone}");
        }
    }

    #[tokio::test]
    async fn the_newest_sets_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = root.path().join(content).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            let sha256 = Digest::of(content.as_bytes());
            Fetched { path, sha256, together: root.path().join("together") }
        };
        let alone = file("a.cfg", "alone");
        assert_eq!(together(&alone, &[]).await.unwrap(), alone.path);
        let mut made = Vec::new();
        for weights in ["one", "two", "three"] {
            made.push(together(&file("a.weights", weights), &[file("b.cfg", "form")]).await.unwrap());
            // Time stamps of files are no finer than the kernel's ticks.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(made.iter().map(|path| path.exists()).collect::<Vec<_>>(), [false, true, true]);
        let last = &made[2];
        assert_eq!(fs::read_to_string(last).unwrap(), "three");
        assert_eq!(
            fs::read_to_string(last.with_file_name("a.cfg")).unwrap(),
            "form",
            "by the first one's name"
        );
        let again = together(&file("a.weights", "three"), &[file("b.cfg", "form")]).await.unwrap();
        assert_eq!(&again, last);
    }
}
