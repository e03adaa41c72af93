//! What a model file says of itself.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// The metadata of a model, as its file spells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// The file.
    pub file: String,
    /// The model's name.
    pub name: String,
    /// The network family.
    pub family: String,
    /// The channel multiplier.
    pub width: String,
    /// Height and width of its input in pixels, as a JSON array.
    pub input: String,
}

/// Metadata beyond this is no model of ours.
const LARGEST_HEADER: u64 = 16 << 20;

impl ModelFacts {
    /// Reads the header of a safetensors file: its length in 8 bytes, little-endian, then JSON.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is no model of Sluice.
    pub fn read(path: &Path) -> Result<Self> {
        let header = || -> Result<serde_json::Value> {
            let mut file = File::open(path)?;
            let mut length = [0; 8];
            file.read_exact(&mut length)?;
            let length = u64::from_le_bytes(length);
            ensure!(length <= LARGEST_HEADER, "not a safetensors file");
            let mut header = Vec::new();
            file.take(length).read_to_end(&mut header)?;
            Ok(serde_json::from_slice(&header)?)
        };
        let header = header().with_context(|| format!("cannot read the model {}", path.display()))?;
        let metadata = &header["__metadata__"];
        ensure!(
            metadata["format"] == "sluice-detector",
            "the model {} is no Sluice model: its metadata has no format=sluice-detector",
            path.display()
        );
        let field = |name: &str| metadata[name].as_str().unwrap_or("").to_owned();
        Ok(Self {
            file: path.display().to_string(),
            name: field("name"),
            family: field("family"),
            width: field("width"),
            input: field("input"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn reads_the_metadata_and_refuses_other_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.safetensors");
        let write = |json: &str| {
            fs::write(&path, [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat()).unwrap();
        };
        write(
            r#"{"__metadata__":{"format":"sluice-detector","name":"n","family":"f","width":"1","input":"[1,2]"}}"#,
        );
        assert_eq!(ModelFacts::read(&path).unwrap().input, "[1,2]");
        write(r#"{"__metadata__":{"format":"pt"}}"#);
        assert!(ModelFacts::read(&path).unwrap_err().to_string().contains("no Sluice model"));
        fs::write(&path, "\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}").unwrap();
        assert!(ModelFacts::read(&path).is_err());
        assert!(ModelFacts::read(Path::new("/none")).is_err());
    }
}
