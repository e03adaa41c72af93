//! The names of the classes, from files beside a configuration.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Largest file of names, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Most files of a directory that are looked at.
const MAX_FILES: usize = 10_000;

/// A file of names that does not fit.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) path: PathBuf,
    pub(super) problem: String,
}

/// The names of `classes` classes of the configuration at `cfg`: from the `.names` file of its stem, or the one that
/// the `.data` file of its stem names, or else the only `.names` file in its directory if that has so many. Without any
/// of them, none.
pub(super) fn find(cfg: &Path, classes: usize) -> Result<Option<Vec<String>>, Problem> {
    let own = cfg.with_extension("names");
    let named = match read(&cfg.with_extension("data"))? {
        Some(data) => names_in(&data).map(|names| beside(cfg, Path::new(names))),
        None => None,
    };
    for path in [Some(own), named].into_iter().flatten() {
        if let Some(text) = read(&path)? {
            let names = lines(&text);
            if names.len() != classes {
                let problem = format!("{} names for the {classes} classes of {}", names.len(), cfg.display());
                return Err(Problem { path, problem });
            }
            return Ok(Some(names));
        }
    }
    let Some(only) = only_names(cfg) else { return Ok(None) };
    Ok(read(&only)?.map(|text| lines(&text)).filter(|names| names.len() == classes))
}

/// The value of `names` in a `.data` file.
fn names_in(data: &str) -> Option<&str> {
    let options = data.lines().filter_map(|line| line.split_once('='));
    options
        .map(|(key, value)| (key.trim(), value.trim()))
        .find_map(|(key, value)| (key == "names").then_some(value))
}

/// Where a file lies that a `.data` file names: as it says, or, since it says it from where Darknet was started, under
/// its last name in the directory of `cfg`.
fn beside(cfg: &Path, names: &Path) -> PathBuf {
    let here = |path: &Path| cfg.with_file_name("").join(path);
    let last = names.file_name().map(|last| here(Path::new(last)));
    let as_it_says = here(names);
    match last {
        Some(last) if !as_it_says.exists() => last,
        _ => as_it_says,
    }
}

/// The `.names` file in the directory of `cfg`, if there is one only.
fn only_names(cfg: &Path) -> Option<PathBuf> {
    let directory = cfg.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = fs::read_dir(directory).ok()?.take(MAX_FILES);
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut names =
        paths.by_ref().filter(|path| path.extension().is_some_and(|extension| extension == "names"));
    let first = names.next()?;
    names.next().is_none().then_some(first)
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The text of a file; none if it is not there.
fn read(path: &Path) -> Result<Option<String>, Problem> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem { path: path.into(), problem: error.to_string() }),
    }
}
