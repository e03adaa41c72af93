//! A video to pictures: Y4M is read here, everything else by `ffmpeg`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use image::RgbImage;

use super::y4m::{self, Y4m};

/// What stands for standard input.
const STANDARD_INPUT: &str = "-";
/// What `ffmpeg` is asked for: one matrix and range whatever the video has, so that Y4M need not say which.
const FILTER: &str = "scale=out_color_matrix=bt601:out_range=limited,format=yuv444p";
/// Most bytes of what `ffmpeg` says that are told.
const MOST_SAID: u64 = 2000;

/// A video, picture by picture.
pub(super) struct VideoFile {
    name: String,
    frames: Y4m<Box<dyn BufRead + Send>>,
    ffmpeg: Option<Ffmpeg>,
}

impl VideoFile {
    /// Opens a file, or standard input, which has to be Y4M.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is no video, or its pictures have more than `max_pixels`.
    pub(super) fn open(path: &Path, max_pixels: u64) -> Result<Self> {
        let name = path.display().to_string();
        if path.as_os_str() == STANDARD_INPUT {
            return Self::read(name, Box::new(BufReader::new(io::stdin())), None, max_pixels);
        }
        let cannot_read = || format!("cannot read {name}");
        let mut file = BufReader::new(File::open(path).with_context(cannot_read)?);
        if file.fill_buf().with_context(cannot_read)?.starts_with(y4m::MAGIC) {
            return Self::read(name, Box::new(file), None, max_pixels);
        }
        let (mut ffmpeg, mut pictures) = Ffmpeg::start(path)?;
        if pictures.fill_buf().with_context(cannot_read)?.is_empty() {
            ffmpeg.finish(&name)?;
            bail!("there is no picture in {name}");
        }
        Self::read(name, pictures, Some(ffmpeg), max_pixels)
    }

    fn read(
        name: String,
        input: Box<dyn BufRead + Send>,
        ffmpeg: Option<Ffmpeg>,
        max_pixels: u64,
    ) -> Result<Self> {
        let frames = Y4m::new(input, max_pixels).with_context(|| name.clone())?;
        Ok(Self { name, frames, ffmpeg })
    }

    /// Goes on to the next picture, at first to the first; false at the end.
    ///
    /// # Errors
    ///
    /// If the video cannot be read, or ends inside a picture.
    pub(super) fn advance(&mut self) -> Result<bool> {
        let there = self.frames.advance();
        // At the end and after an error, what ffmpeg says of it counts more.
        if !matches!(there, Ok(true))
            && let Some(mut ffmpeg) = self.ffmpeg.take()
        {
            ffmpeg.finish(&self.name)?;
        }
        there.with_context(|| self.name.clone())
    }

    /// The picture that it is at.
    pub(super) fn picture(&self) -> RgbImage {
        self.frames.picture()
    }

    /// The number of that picture, from 0.
    pub(super) fn frame(&self) -> u64 {
        self.frames.frame()
    }

    /// Seconds from the first picture to that one; none if the video does not say how many it has a second.
    pub(super) fn time_s(&self) -> Option<f64> {
        self.frames.time_s()
    }
}

/// The program as it runs; it ends when this is dropped.
#[derive(Debug)]
struct Ffmpeg {
    child: Child,
    /// What it says of errors.
    said: File,
}

impl Ffmpeg {
    /// Starts it on a file, of which it writes the pictures of the first video stream.
    fn start(path: &Path) -> Result<(Self, Box<dyn BufRead + Send>)> {
        let said = tempfile::tempfile().context("cannot make a temporary file")?;
        let mut url = OsString::from("file:");
        url.push(path);
        let spawned = Command::new("ffmpeg")
            // A playlist must not make it ask the network.
            .args(["-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe", "-i"])
            .arg(url)
            .args(["-map", "0:v:0", "-vf", FILTER, "-f", "yuv4mpegpipe", "pipe:1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said.try_clone().context("cannot make a temporary file")?)
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "{} is no Y4M, and there is no ffmpeg to read it; install it (on Debian: apt-get install ffmpeg)",
                path.display()
            ),
            Err(error) => return Err(error).context("cannot run ffmpeg"),
        };
        let pictures = child.stdout.take().context("ffmpeg has no output")?;
        Ok((Self { child, said }, Box::new(BufReader::with_capacity(1 << 20, pictures))))
    }

    /// Waits for its end; an error is what it said.
    fn finish(&mut self, name: &str) -> Result<()> {
        // After damage it may still write, to nobody.
        drop(self.child.stdout.take());
        let status = self.child.wait().context("cannot wait for ffmpeg")?;
        if status.success() {
            return Ok(());
        }
        self.said.rewind().context("cannot read what ffmpeg said")?;
        let mut said = Vec::new();
        (&self.said).take(MOST_SAID).read_to_end(&mut said).context("cannot read what ffmpeg said")?;
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said = if lines.is_empty() { status.to_string() } else { lines.join("; ") };
        bail!("{name}: ffmpeg cannot read it: {said}")
    }
}

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        // Whoever stops early does not want the rest; one that has ended needs neither.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
