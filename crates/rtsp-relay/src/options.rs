//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Plays video files in an endless loop to RTSP viewers, as if each were a camera.
///
/// Every H.264 picture carries its time inside the file as a MISP time stamp (MISB ST 0604). On standard output
/// a line `ready URL` for each file tells that viewers may connect; logs go to standard error (RUST_LOG sets
/// the level). Exit codes: 0 stopped by SIGINT or SIGTERM, 1 failed, 2 bad usage.
#[derive(Debug, Clone, clap::Parser)]
#[command(version)]
pub struct Options {
    /// Address and port to listen on; port 0 takes any free one.
    #[arg(long, value_name = "ADDR:PORT", env = "SLUICE_LISTEN", default_value = "127.0.0.1:8554")]
    pub listen: SocketAddr,

    /// A path in the URL and the MP4 or QuickTime file that plays under it; may be given several times.
    #[arg(long, value_name = "/PATH=FILE", required_unless_present = "health")]
    pub play: Vec<Play>,

    /// How logs are written.
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// Ask the relay that runs with the same address whether it is well, and do nothing else: exit code 0 if it is, 1 if
    /// not. For health checks of containers.
    #[arg(long)]
    pub health: bool,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// One `--play`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Play {
    /// The path in the URL, with its leading slash.
    pub path: String,
    /// The file.
    pub file: PathBuf,
}

impl FromStr for Play {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, file) = text.split_once('=').ok_or("write /PATH=FILE, for example /video1=site.mp4")?;
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.~/".contains(letter);
        if path.len() < 2 || !path.starts_with('/') || path.ends_with('/') || !path.chars().all(plain) {
            return Err(format!(
                "the path `{path}` must be a slash and then letters, digits or any of - _ . ~ /"
            ));
        }
        if file.is_empty() {
            return Err(format!("no file after `{path}=`"));
        }
        Ok(Self { path: path.into(), file: file.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_file() {
        let play: Play = "/a/video-1=/tmp/x=y.mp4".parse().unwrap();
        assert_eq!(play, Play { path: "/a/video-1".into(), file: "/tmp/x=y.mp4".into() });
    }

    #[test]
    fn what_is_refused() {
        for text in
            ["video1=f.mp4", "/=f.mp4", "/video1", "/video1=", "/a b=f.mp4", "/a?x=f.mp4", "/a/=f.mp4"]
        {
            assert!(text.parse::<Play>().is_err(), "{text}");
        }
    }
}
