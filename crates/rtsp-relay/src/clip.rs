//! A video file, read once into memory as H.264 access units.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gst::ClockTime;

use crate::misp;
use crate::reader::Reader;

/// The most memory that one clip may take, in bytes.
pub const MAX_BYTES: u64 = 1_000_000_000;

/// Beyond this distance between key frames the relay advises to encode the clip anew: a viewer sees nothing
/// until the first key frame after it joined.
const LONG_KEY_FRAME_DISTANCE: ClockTime = ClockTime::from_seconds(2);

/// One coded picture, in byte-stream form, with its MISP time stamp.
#[derive(Debug, Clone)]
pub struct AccessUnit {
    /// The bytes.
    pub data: gst::Buffer,
    /// When to show it, from the clip's start.
    pub pts: ClockTime,
    /// When to send it, from the clip's start.
    pub dts: ClockTime,
    /// How long it is shown.
    pub duration: ClockTime,
    /// Whether decoding can begin here.
    pub key: bool,
    /// The media time in its stamp, in microseconds.
    pub media_time_us: u64,
}

/// A clip in memory.
#[derive(Debug, Clone)]
pub struct Clip {
    /// What the access units are: size, frame rate, profile.
    pub caps: gst::Caps,
    /// The pictures, in sending order; never empty.
    pub access_units: Arc<[AccessUnit]>,
    /// From the first picture to where the next round begins.
    pub length: ClockTime,
}

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct ClipError {
    /// The file.
    pub path: PathBuf,
    /// The cause and the next step.
    pub reason: ClipErrorReason,
}

/// See [`ClipError`].
#[derive(Debug, thiserror::Error)]
pub enum ClipErrorReason {
    /// The file cannot be opened.
    #[error("cannot be read: {0}")]
    Open(#[from] std::io::Error),
    /// The path is something other than a file.
    #[error("is not a file; give an MP4 or QuickTime file with an H.264 track")]
    NotAFile,
    /// The content is of another type.
    #[error("is {found}, not an MP4 or QuickTime file; convert it: ffmpeg -i IN -c:v libx264 -g 25 OUT.mp4")]
    NotMp4 {
        /// The media type that was found.
        found: String,
    },
    /// There is no H.264 track.
    #[error("has no H.264 video (found: {found}); convert it: ffmpeg -i IN -c:v libx264 -g 25 OUT.mp4")]
    NotH264 {
        /// The tracks' media types.
        found: String,
    },
    /// Reading stopped with an error.
    #[error("cannot be read as an MP4 file (it may be cut short): {0}")]
    Broken(String),
    /// There are no pictures, or they last no time.
    #[error("has an H.264 track without pictures")]
    Empty,
    /// The clip does not fit.
    #[error(
        "has more than {} MB of H.264 video; the relay holds a clip in memory: cut it (ffmpeg -i IN -t 600 -c copy OUT.mp4)",
        MAX_BYTES / 1_000_000
    )]
    TooLarge,
    /// GStreamer refused something that has nothing to do with the file.
    #[error("GStreamer failed: {0}")]
    Pipeline(#[from] gst::glib::BoolError),
    /// The reading pipeline did not start.
    #[error("GStreamer failed: {0}")]
    Start(#[from] gst::StateChangeError),
}

impl Clip {
    /// Reads the H.264 track of an MP4 or QuickTime file and stamps each picture with its time in the file.
    ///
    /// # Errors
    ///
    /// See [`ClipErrorReason`]. GStreamer must have been started ([`crate::plugins::init`]).
    pub fn read(path: &Path) -> Result<Self, ClipError> {
        Self::read_bounded(path, MAX_BYTES).map_err(|reason| ClipError { path: path.into(), reason })
    }

    fn read_bounded(path: &Path, max_bytes: u64) -> Result<Self, ClipErrorReason> {
        check_type(path)?;
        let reader = Reader::start(path)?;
        let (mut access_units, mut caps, mut bytes) = (Vec::new(), None, 0);
        while let Some(sample) = reader.next()? {
            if caps.is_none() {
                caps = sample.caps().map(ToOwned::to_owned);
            }
            let unit = AccessUnit::from_sample(&sample)?;
            bytes += unit.data.size() as u64;
            if bytes > max_bytes {
                return Err(ClipErrorReason::TooLarge);
            }
            access_units.push(unit);
        }
        let start = access_units.iter().map(|unit| unit.dts).min().ok_or(ClipErrorReason::Empty)?;
        for unit in &mut access_units {
            unit.dts -= start;
            unit.pts = unit.pts.saturating_sub(start);
        }
        let length = access_units.iter().map(|unit| unit.dts + unit.duration).max();
        let (Some(caps), Some(length)) = (caps, length.filter(|length| !length.is_zero())) else {
            return Err(ClipErrorReason::Empty);
        };
        Ok(Self { caps, access_units: access_units.into(), length })
    }

    /// The longest time between two key frames, the join between two rounds included.
    pub fn key_frame_distance(&self) -> ClockTime {
        let keys: Vec<_> = self.access_units.iter().filter(|unit| unit.key).map(|unit| unit.dts).collect();
        let (Some(first), Some(last)) = (keys.first(), keys.last()) else {
            return self.length;
        };
        let inside = keys.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max();
        inside.unwrap_or_default().max((self.length + *first).saturating_sub(*last))
    }

    /// Whether a viewer that joins has to wait long for its first picture.
    pub fn key_frames_are_rare(&self) -> bool {
        self.key_frame_distance() > LONG_KEY_FRAME_DISTANCE
    }
}

impl AccessUnit {
    /// The access unit of `sample`, stamped; times as they are in the file.
    fn from_sample(sample: &gst::Sample) -> Result<Self, ClipErrorReason> {
        let buffer = sample.buffer().ok_or(ClipErrorReason::Empty)?;
        let broken = |what: &str| ClipErrorReason::Broken(format!("a picture has no {what}"));
        let pts = buffer.pts().ok_or_else(|| broken("presentation time"))?;
        // An edit list shifts the file's own times; the segment undoes it.
        let shown_at = sample
            .segment()
            .and_then(|segment| segment.downcast_ref::<ClockTime>())
            .and_then(|segment| segment.to_stream_time(pts));
        let media_time_us = shown_at.unwrap_or(pts).useconds();
        let bytes = buffer.map_readable()?.to_vec();
        Ok(Self {
            data: gst::Buffer::from_slice(misp::stamped(bytes, media_time_us)),
            pts,
            dts: buffer.dts_or_pts().unwrap_or(pts),
            duration: buffer.duration().ok_or_else(|| broken("duration"))?,
            key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            media_time_us,
        })
    }
}

/// Refuses what is not an MP4 or QuickTime file, by its first bytes.
fn check_type(path: &Path) -> Result<(), ClipErrorReason> {
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(ClipErrorReason::NotAFile);
    }
    let mut start = Vec::new();
    file.take(64 * 1024).read_to_end(&mut start)?;
    let (_, caps) = gst::SliceTypeFind::type_find(&start);
    match caps.as_ref().and_then(|caps| caps.structure(0)).map(|s| s.name().as_str()) {
        Some("video/quicktime") => Ok(()),
        Some(found) => Err(ClipErrorReason::NotMp4 { found: found.into() }),
        None => Err(ClipErrorReason::NotMp4 { found: "of an unknown type".into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(keys_at_ms: &[u64], length_ms: u64) -> Clip {
        let unit = |ms: u64| AccessUnit {
            data: gst::Buffer::new(),
            pts: ClockTime::from_mseconds(ms),
            dts: ClockTime::from_mseconds(ms),
            duration: ClockTime::from_mseconds(40),
            key: keys_at_ms.contains(&ms),
            media_time_us: ms * 1000,
        };
        Clip {
            caps: gst::Caps::new_empty(),
            access_units: (0..length_ms / 40).map(|n| unit(n * 40)).collect(),
            length: ClockTime::from_mseconds(length_ms),
        }
    }

    #[test]
    fn key_frame_distance_counts_the_join() {
        gst::init().unwrap();
        assert_eq!(clip(&[0, 1000, 2000], 3000).key_frame_distance().mseconds(), 1000);
        assert_eq!(clip(&[0, 400], 3000).key_frame_distance().mseconds(), 2600);
        assert_eq!(clip(&[0], 1000).key_frame_distance().mseconds(), 1000);
        assert_eq!(clip(&[], 1000).key_frame_distance().mseconds(), 1000);
        assert!(clip(&[0], 3000).key_frames_are_rare());
    }
}
