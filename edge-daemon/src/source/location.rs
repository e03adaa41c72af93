//! Where the video is.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr};

/// Where the video is. Its `Display` form leaves out user name and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A file on this machine.
    File(PathBuf),
    /// A camera that speaks RTSP: the whole URL.
    Rtsp(String),
    /// A Video4Linux device, for example `/dev/video0`.
    Device(PathBuf),
    /// Anything else that GStreamer can open: the whole URL.
    Uri(String),
}

impl Location {
    /// Whether it has no end of its own, so that it is opened again whenever it ends.
    pub fn is_live(&self) -> bool {
        !matches!(self, Self::File(_))
    }
}

impl FromStr for Location {
    type Err = Infallible;

    /// Tells them apart by the scheme; a text without one is a file's path.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        Ok(match scheme.as_deref() {
            None => Self::File(text.into()),
            Some("file") => Self::File(text["file://".len()..].into()),
            Some("v4l2") => Self::Device(text["v4l2://".len()..].into()),
            Some(scheme) if scheme.starts_with("rtsp") => Self::Rtsp(text.to_owned()),
            Some(_) => Self::Uri(text.to_owned()),
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Device(path) => write!(f, "{}", path.display()),
            Self::Rtsp(uri) | Self::Uri(uri) => f.write_str(&without_credentials(uri)),
        }
    }
}

fn without_credentials(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => uri.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let parse = |text: &str| text.parse::<Location>().unwrap();
        assert_eq!(parse("clip.mp4"), Location::File("clip.mp4".into()));
        assert_eq!(parse("file:///data/a b.mp4"), Location::File("/data/a b.mp4".into()));
        assert_eq!(parse("v4l2:///dev/video0"), Location::Device("/dev/video0".into()));
        assert_eq!(parse("RTSP://10.0.0.1/v"), Location::Rtsp("RTSP://10.0.0.1/v".into()));
        assert_eq!(parse("http://x/y.mp4"), Location::Uri("http://x/y.mp4".into()));
        assert!(!parse("clip.mp4").is_live());
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = |text: &str| text.parse::<Location>().unwrap().to_string();
        assert_eq!(shown("rtsp://admin:p@ss@10.0.0.9:554/a@b"), "rtsp://10.0.0.9:554/a@b");
        assert_eq!(shown("rtsp://10.0.0.9/a"), "rtsp://10.0.0.9/a");
    }
}
