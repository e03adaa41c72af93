//! The three directories of pictures, each file named by its frame: `N.jpeg`.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::Receiver},
    time::{Duration, Instant},
};

use detector::draw::{self, Caption};
use image::{Rgb, RgbImage};
use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};
use protocol::{
    Detection,
    record::{FrameRecord, Outcome},
};
use tracing::error;

use super::{RecordsError, ResultsSettings};
use crate::frame::Frame;

/// JPEG quality of the pictures on disk.
const QUALITY: u8 = 85;
/// The caption's mark when the boxes are the edge's, and when they are the cloud's.
const EDGE_MARK: (&str, Rgb<u8>) = ("EDGE", Rgb([86, 180, 233]));
const CLOUD_MARK: (&str, Rgb<u8>) = ("CLOUD", Rgb([230, 159, 0]));
/// After a picture could not be written, how long none is tried.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(60);

/// The directories of pictures.
pub(super) struct Pictures {
    all: Directory,
    hard_edge: Directory,
    hard_cloud: Directory,
    paused_until: Option<Instant>,
}

impl Pictures {
    /// Makes the directories; also returns the number after the last picture's.
    pub(super) fn open(settings: &ResultsSettings) -> Result<(Self, u64), RecordsError> {
        let open = |path: &Path| {
            Directory::open(path, settings.keep_pictures)
                .map_err(|cause| RecordsError::Open { path: path.to_owned(), cause })
        };
        let pictures = Self {
            all: open(&settings.all)?,
            hard_edge: open(&settings.hard_edge)?,
            hard_cloud: open(&settings.hard_cloud)?,
            paused_until: None,
        };
        let next = [&pictures.all, &pictures.hard_edge, &pictures.hard_cloud]
            .iter()
            .filter_map(|directory| directory.numbers.back())
            .max()
            .map_or(0, |last| last + 1);
        Ok((pictures, next))
    }

    /// Draws and writes until the senders are gone. An error pauses the pictures and is logged once for each pause.
    pub(super) fn draw_all(mut self, frames: &Receiver<(Arc<Frame>, FrameRecord)>) {
        for (frame, record) in frames {
            if self.paused_until.is_some_and(|until| until > Instant::now()) {
                continue;
            }
            self.paused_until = None;
            if let Err(failure) = self.write(&frame, &record) {
                error!("{failure}; results go on without pictures, the next try is in {PAUSE_AFTER_ERROR:?}");
                self.paused_until = Some(Instant::now() + PAUSE_AFTER_ERROR);
            }
        }
    }

    /// All directories get the same picture where the boxes are the same.
    fn write(&mut self, frame: &Frame, record: &FrameRecord) -> Result<(), WriteError> {
        if let Some(cloud) = &record.cloud {
            let drawn = jpeg(frame, cloud, &cloud_caption(record))?;
            self.hard_cloud.write(record.frame, &drawn)?;
            self.all.write(record.frame, &drawn)?;
            let drawn = jpeg(frame, &record.edge, &edge_caption(record))?;
            return self.hard_edge.write(record.frame, &drawn);
        }
        let drawn = jpeg(frame, &record.edge, &edge_caption(record))?;
        self.all.write(record.frame, &drawn)?;
        if record.hard { self.hard_edge.write(record.frame, &drawn) } else { Ok(()) }
    }
}

fn edge_caption(record: &FrameRecord) -> Caption {
    let verdict = match record.outcome {
        Outcome::Edge => "easy",
        Outcome::Answered => "hard, the cloud answered too",
        Outcome::Expired => "hard, no answer in time",
        Outcome::Displaced => "hard, displaced by newer frames",
        Outcome::Failed => "hard, upload failed",
    };
    let (mark, colour) = EDGE_MARK;
    Caption {
        mark,
        colour,
        text: format!(
            "frame {}  {}  {:.0} ms  {verdict}",
            record.frame, record.captured_at, record.timing.edge_ms
        ),
    }
}

fn cloud_caption(record: &FrameRecord) -> Caption {
    let after = record.timing.cloud_ms.unwrap_or_default() / 1e3;
    let bytes = record.upload.as_ref().map_or(0, |upload| upload.bytes);
    let (mark, colour) = CLOUD_MARK;
    Caption {
        mark,
        colour,
        text: format!("frame {}  {}  {after:.2} s  {bytes} bytes up", record.frame, record.captured_at),
    }
}

fn jpeg(frame: &Frame, detections: &[Detection], caption: &Caption) -> Result<Vec<u8>, EncodingError> {
    let drawn: RgbImage = draw::annotated(&frame.image, detections, Some(caption));
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
    encoder.encode(&drawn, side(drawn.width()), side(drawn.height()), ColorType::Rgb)?;
    Ok(jpeg)
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("cannot write picture {path}: {cause}", path = path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("cannot encode a picture: {0}")]
    Encode(#[from] EncodingError),
}

/// One directory, its oldest pictures removed beyond a set number.
struct Directory {
    path: PathBuf,
    keep: usize,
    numbers: VecDeque<u64>,
}

impl Directory {
    fn open(path: &Path, keep: usize) -> io::Result<Self> {
        if keep > 0 {
            fs::create_dir_all(path)?;
        }
        let mut numbers = Vec::new();
        if path.is_dir() {
            for entry in fs::read_dir(path)? {
                let name = entry?.file_name();
                let number = name.to_str().and_then(|name| name.strip_suffix(".jpeg")?.parse::<u64>().ok());
                numbers.extend(number);
            }
        }
        numbers.sort_unstable();
        Ok(Self { path: path.to_owned(), keep, numbers: numbers.into() })
    }

    /// Writes `N.jpeg` under another name first, so that whoever watches the directory never sees half a picture.
    fn write(&mut self, number: u64, jpeg: &[u8]) -> Result<(), WriteError> {
        let path = self.path.join(format!("{number}.jpeg"));
        let part = self.path.join(format!(".{number}.jpeg.part"));
        let written = fs::write(&part, jpeg).and_then(|()| fs::rename(&part, &path));
        if let Err(cause) = written {
            // What does not exist need not be removed.
            let _ = fs::remove_file(&part);
            return Err(WriteError::File { path, cause });
        }
        self.numbers.push_back(number);
        while self.numbers.len() > self.keep
            && let Some(oldest) = self.numbers.pop_front()
        {
            let path = self.path.join(format!("{oldest}.jpeg"));
            match fs::remove_file(&path) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                    return Err(WriteError::File { path, cause });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_pictures_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("all");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("7.jpeg"), "").unwrap();
        fs::write(path.join("notes.txt"), "").unwrap();
        let mut pictures = Directory::open(&path, 2).unwrap();
        assert_eq!(pictures.numbers, [7]);
        pictures.write(8, b"x").unwrap();
        pictures.write(10, b"x").unwrap();
        assert_eq!(names(&path), ["10.jpeg", "8.jpeg", "notes.txt"]);
    }

    #[test]
    fn a_picture_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("all");
        let mut pictures = Directory::open(&path, 2).unwrap();
        fs::remove_dir(&path).unwrap();
        let failure = pictures.write(8, b"x").unwrap_err().to_string();
        assert!(failure.contains("all/8.jpeg"), "{failure}");
    }
}
