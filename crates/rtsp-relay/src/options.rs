//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::path::StreamPath;
use crate::push::PushLimits;

/// The port of an RTSP URL that names none (RFC 2326, 3.2).
pub const DEFAULT_PORT: u16 = 554;

/// Plays video files in an endless loop to RTSP viewers, as if each were a camera, and passes on what is pushed
/// to it.
///
/// Every H.264 picture of a file carries its time inside the file as a MISP time stamp (MISB ST 0604). On
/// standard output a line `ready URL` for each file tells that viewers may connect, and a line `ready URL` that
/// ends in a slash that publishers may; logs go to standard error (RUST_LOG sets the level). Exit codes:
/// 0 stopped by SIGINT or SIGTERM, 1 failed, 2 bad usage.
#[derive(Debug, Clone, clap::Parser)]
#[command(version)]
pub struct Options {
    /// Address and port to listen on; without a port 554, RTSP's own; port 0 takes any free one.
    #[arg(
        long,
        value_name = "ADDR[:PORT]",
        env = "SLUICE_LISTEN",
        default_value = "127.0.0.1:8554",
        value_parser = listen_address
    )]
    pub listen: SocketAddr,

    /// A path in the URL and the MP4 or QuickTime file that plays under it; may be given several times.
    #[arg(long, value_name = "/PATH=FILE", required_unless_present_any = ["accept_push", "health"])]
    pub play: Vec<Play>,

    /// Take H.264 streams that publishers push (ANNOUNCE, RECORD; over TCP or UDP) under any path that is free,
    /// for example by `ffmpeg -re -i IN -c:v libx264 -f rtsp URL`; viewers play them from the same URL.
    #[arg(long)]
    pub accept_push: bool,

    /// The most streams that are pushed at a time.
    #[arg(long, value_name = "N", default_value = "16", requires = "accept_push")]
    pub max_pushes: usize,

    /// Seconds without a picture after which a publisher counts as gone: its stream ends and its path is free.
    #[arg(long, value_name = "SECONDS", default_value = "5", requires = "accept_push", value_parser = seconds)]
    pub push_timeout: Duration,

    /// How logs are written.
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// Ask the relay that runs with the same address whether it is well, and do nothing else: exit code 0 if it is, 1 if
    /// not. For health checks of containers.
    #[arg(long)]
    pub health: bool,
}

impl Options {
    /// What pushes are bounded by, if they are taken at all.
    pub fn push_limits(&self) -> Option<PushLimits> {
        self.accept_push.then_some(PushLimits { streams: self.max_pushes, silence: self.push_timeout })
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse::<SocketAddr>();
    let without = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DEFAULT_PORT));
    with_port
        .or_else(|_| without())
        .map_err(|_| "write ADDR:PORT or ADDR, for example 0.0.0.0:8554".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.5..=3600.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "write a number of seconds from 0.5 to 3600".to_owned())
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
    /// The path in the URL.
    pub path: StreamPath,
    /// The file.
    pub file: PathBuf,
}

impl FromStr for Play {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, file) = text.split_once('=').ok_or("write /PATH=FILE, for example /video1=site.mp4")?;
        let path = path.parse::<StreamPath>().map_err(|error| error.to_string())?;
        if file.is_empty() {
            return Err(format!("no file after `{path}=`"));
        }
        Ok(Self { path, file: file.into() })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn a_path_and_a_file() {
        let play: Play = "/a/video-1=/tmp/x=y.mp4".parse().unwrap();
        assert_eq!(play, Play { path: "/a/video-1".parse().unwrap(), file: "/tmp/x=y.mp4".into() });
    }

    #[test]
    fn what_is_refused() {
        for text in
            ["video1=f.mp4", "/=f.mp4", "/video1", "/video1=", "/a b=f.mp4", "/a?x=f.mp4", "/a/=f.mp4"]
        {
            assert!(text.parse::<Play>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_address_to_listen_on() {
        assert_eq!(listen_address("172.17.0.1"), Ok("172.17.0.1:554".parse().unwrap()));
        assert_eq!(listen_address("[::]:8554"), Ok("[::]:8554".parse().unwrap()));
        assert_eq!(listen_address("::1"), Ok("[::1]:554".parse().unwrap()));
        assert!(listen_address("camera:554").is_err());
    }

    #[test]
    fn something_must_be_played_or_taken() {
        let parse = |arguments: &[&str]| Options::try_parse_from([&["rtsp-relay"], arguments].concat());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--play", "/a=b", "--max-pushes", "2"]).is_err());
        assert_eq!(parse(&["--play", "/a=b"]).unwrap().push_limits(), None);
        let taken = parse(&["--accept-push", "--max-pushes", "2", "--push-timeout", "1.5"]).unwrap();
        let limits = PushLimits { streams: 2, silence: Duration::from_millis(1500) };
        assert_eq!(taken.push_limits(), Some(limits));
    }
}
