//! `results.jsonl`: one [`FrameRecord`] a line.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::mpsc::Receiver,
};

use protocol::record::FrameRecord;

/// The file's name.
pub const FILE_NAME: &str = "results.jsonl";

/// How much of an earlier run's end is read for its last frame number; lines are in the order in which frames
/// ended, so that the largest number is near the end but not always in the last line.
const TAIL: u64 = 1 << 20;

/// Why results cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// A directory or file cannot be made or opened.
    #[error("cannot open {path} for writing: {cause}. {advice}", path = path.display(), advice = advice(path, cause))]
    Open {
        /// The directory or file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A line cannot be written.
    #[error("cannot write {path}: {cause}. Free some space or choose another directory with --out", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file cannot be read.
    #[error("cannot read {path}: {cause}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A line is not a record.
    #[error("{path}, line {line}: not a frame record: {cause}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the JSON reader says.
        cause: serde_json::Error,
    },
    /// The writing thread panicked.
    #[error("the thread that writes {FILE_NAME} panicked")]
    Panicked,
}

/// What to do when `path` cannot be opened. In containers the user is usually not root, and a directory of the host that is
/// mounted for results belongs to somebody else until it is given to that user.
fn advice(path: &Path, cause: &io::Error) -> String {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    // What is there of the path is what has the wrong owner.
    let there = path.ancestors().find(|above| above.is_dir()).unwrap_or(path).display();
    match cause.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "The daemon runs as user {user}, which may not write in {there}: `chown {user}:{group}` that directory (for a \
             container, the mounted directory on the host), run as its owner (docker run --user), or choose another with --out"
        ),
        io::ErrorKind::ReadOnlyFilesystem => format!(
            "{there} is read-only: mount a directory there that user {user} may write in (docker run --volume), or choose \
             another with --out"
        ),
        _ => "Check the directory, or choose another with --out".to_owned(),
    }
}

/// The file, open for appending.
pub(super) struct Records {
    path: PathBuf,
    file: File,
}

impl Records {
    /// Opens the file in `directory`, making both if need be, and returns the number after its last frame's. A line
    /// that an earlier run could not finish is cut off.
    pub(super) fn open(directory: &Path) -> Result<(Self, u64), RecordsError> {
        let open_error = |path: &Path, cause| RecordsError::Open { path: path.to_owned(), cause };
        std::fs::create_dir_all(directory).map_err(|cause| open_error(directory, cause))?;
        let path = directory.join(FILE_NAME);
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&path)
            .map_err(|cause| open_error(&path, cause))?;
        let next = cut_torn_line(&mut file).map_err(|cause| open_error(&path, cause))?;
        Ok((Self { path, file }, next))
    }

    /// Writes each record as one line at once, until the senders are gone.
    pub(super) fn write_all(mut self, records: &Receiver<FrameRecord>) -> Result<(), RecordsError> {
        for record in records {
            self.write(&record).map_err(|cause| RecordsError::Write { path: self.path.clone(), cause })?;
        }
        Ok(())
    }

    fn write(&mut self, record: &FrameRecord) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        // One call a line, so that a reader that follows the file sees whole lines.
        self.file.write_all(&line)
    }
}

/// Cuts `file` after its last line feed and returns the number after the largest frame number near its end.
fn cut_torn_line(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let begin = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(begin))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if begin + (whole as u64) < length {
        file.set_len(begin + whole as u64)?;
    }
    let frames = tail[..whole].split(|byte| *byte == b'\n');
    let numbers = frames.filter_map(|line| serde_json::from_slice::<FrameRecord>(line).ok());
    Ok(numbers.map(|record| record.frame + 1).max().unwrap_or(0))
}

/// Reads all records of the file at `path`.
///
/// # Errors
///
/// The file cannot be read, or a line is not a record.
pub fn read(path: &Path) -> Result<Vec<FrameRecord>, RecordsError> {
    let read_error = |cause| RecordsError::Read { path: path.to_owned(), cause };
    let lines = BufReader::new(File::open(path).map_err(read_error)?).lines();
    let mut records = Vec::new();
    for (index, line) in lines.enumerate() {
        let record = serde_json::from_str(&line.map_err(read_error)?)
            .map_err(|cause| RecordsError::Malformed { path: path.to_owned(), line: index + 1, cause })?;
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use protocol::record::{FrameTiming, Outcome};

    use super::*;

    fn record(frame: u64) -> FrameRecord {
        FrameRecord {
            frame,
            captured_at: "2026-11-24T02:07:29.123Z".into(),
            media_time_us: Some(40_000 * frame),
            width: 1280,
            height: 720,
            hard: false,
            outcome: Outcome::Edge,
            edge: vec![],
            cloud: None,
            timing: FrameTiming::default(),
            upload: None,
        }
    }

    fn write(directory: &Path, frames: &[u64]) -> u64 {
        let (records, next) = Records::open(directory).unwrap();
        let (sender, receiver) = sync_channel(frames.len());
        frames.iter().for_each(|frame| sender.send(record(*frame)).unwrap());
        drop(sender);
        records.write_all(&receiver).unwrap();
        next
    }

    #[test]
    fn a_later_run_goes_on_after_the_last_frame() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("made/on/the/way");
        assert_eq!(write(&inside, &[0, 4, 3]), 0);
        let path = inside.join(FILE_NAME);
        // A line that a crash cut short.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"frame\":7,").unwrap();
        assert_eq!(write(&inside, &[5]), 5);
        let frames: Vec<u64> = read(&path).unwrap().iter().map(|record| record.frame).collect();
        assert_eq!(frames, [0, 4, 3, 5]);
    }

    #[test]
    fn errors_name_file_and_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.jsonl");
        assert!(read(&path).unwrap_err().to_string().contains("x.jsonl"));
        std::fs::write(&path, "{}\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("line 1"));
        // A file where a directory should be.
        assert!(Records::open(&path).err().unwrap().to_string().contains("x.jsonl"));
    }

    #[test]
    fn a_directory_of_somebody_else_is_told_with_user_and_remedy() {
        let path = Path::new("/proc/results");
        let cause = || io::Error::from(io::ErrorKind::PermissionDenied);
        let error = RecordsError::Open { path: path.to_owned(), cause: cause() }.to_string();
        let user = nix::unistd::geteuid();
        for part in [
            "/proc/results",
            &format!("runs as user {user}"),
            "not write in /proc:",
            &format!("chown {user}:"),
        ] {
            assert!(error.contains(part), "no `{part}` in: {error}");
        }
        let cause = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
        let error = RecordsError::Open { path: path.to_owned(), cause }.to_string();
        assert!(error.contains("/proc is read-only") && error.contains("--volume"), "{error}");
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let full = Path::new("/dev/full");
        let file = OpenOptions::new().write(true).open(full).unwrap();
        let (sender, receiver) = sync_channel(1);
        sender.send(record(0)).unwrap();
        drop(sender);
        let error = Records { path: full.to_owned(), file }.write_all(&receiver).unwrap_err();
        assert!(error.to_string().contains("/dev/full"), "{error}");
    }
}
