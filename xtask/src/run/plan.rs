//! What a run will do: the command line's wishes, checked, with every default filled in.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};

use super::model::ModelFacts;
use crate::cli::{RunAll, Runtime};
use crate::rate::Rate;
use crate::summary::{Hem, Models};
use crate::workspace::Workspace;

/// A run that can be begun.
#[derive(Debug)]
pub struct Plan {
    /// The uplink's limit.
    pub rate: Rate,
    /// How long the edge runs.
    pub duration: Duration,
    /// Where the frames come from.
    pub video: Video,
    /// The edge's model.
    pub little: PathBuf,
    /// The cloud's model.
    pub big: PathBuf,
    /// What both say of themselves.
    pub models: Models,
    /// The hard-example mining.
    pub hem: Hem,
    /// How the edge fetches the stream.
    pub rtsp_transport: &'static str,
    /// Where everything goes. Made by [`Plan::make_directories`].
    pub out: PathBuf,
    /// How the programs are kept apart.
    pub runtime: Runtime,
    /// Whether the rest stays up after the report.
    pub keep: bool,
}

/// Where the frames come from.
#[derive(Debug)]
pub enum Video {
    /// A file that the relay plays in a loop.
    File {
        /// The file.
        path: PathBuf,
        /// Its ground truth, if it is to be scored.
        truth: Option<PathBuf>,
    },
    /// A camera's address.
    Camera(String),
}

impl Plan {
    /// Checks `options` and fills in what they leave open. Makes nothing.
    ///
    /// # Errors
    ///
    /// Names the option, what is wrong with it, and what would do.
    pub fn new(options: &RunAll, workspace: &Workspace) -> Result<Self> {
        let root = workspace.root();
        let little = absolute(options.little.as_deref(), || root.join("models/demo-little.safetensors"))?;
        let big = absolute(options.big.as_deref(), || root.join("models/demo-big.safetensors"))?;
        let models = Models { little: ModelFacts::read(&little)?, big: ModelFacts::read(&big)? };
        serde_json::from_str::<serde_json::Value>(&options.hem_parameters)
            .with_context(|| format!("--hem-parameters is not JSON: {}", options.hem_parameters))?;
        let out = match &options.out {
            Some(out) => std::path::absolute(out)?,
            None => root.join("runs").join(file_name(&protocol::time::rfc3339(SystemTime::now()))),
        };
        if out.exists() {
            let empty =
                fs::read_dir(&out).with_context(|| format!("--out {} is no directory", out.display()))?;
            ensure!(
                empty.count() == 0,
                "--out {} is not empty: name one that is, or a new one",
                out.display()
            );
        }
        Ok(Self {
            rate: options.rate,
            duration: options.duration,
            video: video(options, root)?,
            little,
            big,
            models,
            hem: Hem { name: options.hem.clone(), parameters: options.hem_parameters.clone() },
            rtsp_transport: options.rtsp_transport.word(),
            out,
            runtime: options.runtime,
            keep: options.keep,
        })
    }

    /// Makes the run's directory with one for the logs.
    ///
    /// # Errors
    ///
    /// If they cannot be made.
    pub fn make_directories(&self) -> Result<()> {
        fs::create_dir_all(self.logs()).with_context(|| format!("cannot make {}", self.logs().display()))
    }

    /// Where the programs' logs go.
    pub fn logs(&self) -> PathBuf {
        self.out.join("logs")
    }
}

impl Video {
    /// The video as the summary names it: a camera's password is left out.
    pub fn name(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Camera(url) => match (url.find("://"), url.rfind('@')) {
                (Some(scheme), Some(at)) if at > scheme => {
                    format!("{}{}", &url[..scheme + 3], &url[at + 1..])
                }
                _ => url.clone(),
            },
        }
    }
}

fn video(options: &RunAll, root: &Path) -> Result<Video> {
    if let Some(url) = options.video.as_ref().filter(|video| video.contains("://")) {
        ensure!(url.starts_with("rtsp://"), "--video {url}: of the addresses, rtsp:// is taken");
        ensure!(options.truth.is_none(), "--truth belongs to a video file; a camera has no ground truth");
        return Ok(Video::Camera(url.clone()));
    }
    let path = absolute(options.video.as_deref().map(Path::new), || root.join("demo/site.mp4"))?;
    ensure!(path.is_file(), "--video {}: no such file", path.display());
    let beside = path.with_extension("coco.json");
    let truth = match &options.truth {
        Some(truth) if !truth.is_file() => bail!("--truth {}: no such file", truth.display()),
        Some(truth) => Some(std::path::absolute(truth)?),
        None => beside.is_file().then_some(beside),
    };
    Ok(Video::File { path, truth: truth.filter(|_| !options.no_score) })
}

fn absolute(given: Option<&Path>, default: impl FnOnce() -> PathBuf) -> Result<PathBuf> {
    match given {
        Some(path) => std::path::absolute(path).with_context(|| format!("{} is no path", path.display())),
        None => Ok(default()),
    }
}

/// A time as a directory's name: `2026-11-24T02-07-29Z`.
fn file_name(time: &str) -> String {
    format!("{}Z", time.split('.').next().unwrap_or(time).replace(':', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_stay_out() {
        let name = |url: &str| Video::Camera(url.into()).name();
        assert_eq!(name("rtsp://me:secret@cam/1"), "rtsp://cam/1");
        assert_eq!(name("rtsp://cam/1"), "rtsp://cam/1");
    }

    #[test]
    fn times_as_names() {
        assert_eq!(file_name("2026-11-24T02:07:29.123Z"), "2026-11-24T02-07-29Z");
    }
}
