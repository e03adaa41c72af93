//! Which file a path means.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::SourceError;

/// The name that Sedna gives a model of its TensorFlow backend.
const SEDNAS: &str = "model_finetune_tensorflow.pb";

/// What the names of model files end in.
const ENDINGS: [&str; 4] = ["safetensors", "pb", "weights", "onnx"];

/// The file that `path` means: itself, the one called `name` in it, or the only model file in it. If nothing is there,
/// it is looked for beneath `prefix` as well, where Sedna mounts the directories of the host.
///
/// # Errors
///
/// If there is no such file, or several could be meant.
pub(crate) fn file(path: &Path, prefix: Option<&Path>, name: Option<&str>) -> Result<PathBuf, SourceError> {
    let beneath = prefix.map(|prefix| prefix.join(path.strip_prefix("/").unwrap_or(path)));
    let (path, metadata) = match (look(path)?, beneath) {
        (Some(metadata), _) => (path.to_owned(), metadata),
        (None, Some(beneath)) if beneath != path => match look(&beneath)? {
            Some(metadata) => (beneath, metadata),
            None => return Err(SourceError::Missing { path: path.into(), also: Some(beneath) }),
        },
        (None, _) => return Err(SourceError::Missing { path: path.into(), also: None }),
    };
    if metadata.is_dir() {
        in_directory(&path, name)
    } else if metadata.is_file() {
        Ok(path)
    } else {
        Err(SourceError::NotRegular { path })
    }
}

/// What is at `path`, if anything.
fn look(path: &Path) -> Result<Option<fs::Metadata>, SourceError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(source) => Err(SourceError::Read { path: path.into(), source }),
    }
}

fn in_directory(directory: &Path, name: Option<&str>) -> Result<PathBuf, SourceError> {
    let is_file = |name: &str| directory.join(name).is_file();
    let names = names(directory).map_err(|source| SourceError::Read { path: directory.into(), source })?;
    let unclear =
        |problem: String| SourceError::Directory { path: directory.into(), problem, found: names.clone() };
    if let Some(name) = name {
        return if is_file(name) {
            Ok(directory.join(name))
        } else {
            Err(unclear(format!("has no file {name}")))
        };
    }
    if is_file(SEDNAS) {
        return Ok(directory.join(SEDNAS));
    }
    let is_model =
        |name: &&String| ENDINGS.iter().any(|end| Path::new(name).extension().is_some_and(|e| e == *end));
    match names.iter().filter(is_model).collect::<Vec<_>>()[..] {
        [one] => Ok(directory.join(one)),
        [] => Err(unclear(format!("has no model file in it (.{})", ENDINGS.join(", .")))),
        _ => Err(unclear("has several model files in it".into())),
    }
}

/// The names of the files in `directory` that are not hidden, in order.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().is_file() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(names: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(directory.path().join(name), "x").unwrap();
        }
        directory
    }

    /// The name of the file that is meant, or what is said.
    fn chosen(directory: &tempfile::TempDir, name: Option<&str>) -> Result<String, String> {
        match file(directory.path(), None, name) {
            Ok(path) => Ok(path.strip_prefix(directory.path()).unwrap().to_str().unwrap().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_only_model_file_is_meant() {
        let directory = with(&["readme.txt", ".hidden.pb", "a.safetensors"]);
        assert_eq!(chosen(&directory, None), Ok("a.safetensors".into()));
        assert_eq!(chosen(&directory, Some("readme.txt")), Ok("readme.txt".into()));
    }

    #[test]
    fn sednas_name_comes_before_others() {
        let directory = with(&["other.pb", SEDNAS]);
        assert_eq!(chosen(&directory, None), Ok(SEDNAS.into()));
        assert_eq!(chosen(&directory, Some("other.pb")), Ok("other.pb".into()));
    }

    #[test]
    fn what_is_unclear_lists_what_is_there() {
        let said = |names: &[&str], name| chosen(&with(names), name).unwrap_err();
        let several = said(&["b.pb", "a.onnx", "c.txt"], None);
        assert!(several.contains("several model files in it; there are a.onnx, b.pb, c.txt;"), "{several}");
        assert!(said(&["c.txt"], None).contains("no model file in it (.safetensors, .pb"));
        assert!(said(&[], None).contains("there is no file in it"));
        let other = said(&["a.pb"], Some("b.pb"));
        assert!(other.contains("has no file b.pb; there is a.pb;"), "{other}");
    }

    #[test]
    fn the_prefix_is_looked_at_second() {
        let directory = with(&["a.pb"]);
        let prefix = Some(directory.path());
        for path in ["/a.pb", "a.pb", "/"] {
            let found = file(Path::new(path), prefix, None);
            // `/` is there, so that it is meant itself; no model file is in it.
            match path {
                "/" => assert!(found.unwrap_err().to_string().contains("directory /")),
                _ => assert_eq!(found.unwrap(), directory.path().join("a.pb")),
            }
        }
        let error = file(Path::new("/no.pb"), prefix, None).unwrap_err().to_string();
        assert!(error.contains("model /no.pb: there is no such file, nor /"), "{error}");
        let error = file(Path::new("/no.pb"), Some(Path::new("/")), None).unwrap_err().to_string();
        assert!(error.contains("no such file; --model"), "{error}");
    }

    #[test]
    fn devices_are_no_models() {
        let error = file(Path::new("/dev/null"), None, None).unwrap_err().to_string();
        assert!(error.contains("neither a regular file"), "{error}");
    }
}
