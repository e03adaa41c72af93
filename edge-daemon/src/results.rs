//! What comes out: a line of JSON for every frame, and pictures with the boxes drawn in.
//!
//! Both are written by threads of their own. The lines are the record: none is ever left out, and the daemon ends
//! when one cannot be written. Pictures are for looking at: when the disk or the drawing cannot keep up they are
//! skipped and counted.

mod pictures;
mod records;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use protocol::record::FrameRecord;
use tokio_util::sync::CancellationToken;

use crate::frame::Frame;
use pictures::Pictures;
use records::Records;

pub use records::{FILE_NAME, RecordsError, read};

/// Lines that may wait for the disk; then the next frame waits too.
const WAITING_RECORDS: usize = 4096;
/// Frames that may wait to be drawn: more than the uplink gives up at once at the end, by default.
const WAITING_PICTURES: usize = 24;

/// Where results go.
#[derive(Debug, Clone)]
pub struct ResultsSettings {
    /// Directory of `results.jsonl`.
    pub directory: PathBuf,
    /// Directory of a picture of every frame with its final boxes.
    pub all: PathBuf,
    /// Directory of the hard frames with the edge's boxes.
    pub hard_edge: PathBuf,
    /// Directory of the answered frames with the cloud's boxes.
    pub hard_cloud: PathBuf,
    /// Pictures kept in each directory, the newest; none are written with 0.
    pub keep_pictures: usize,
}

/// The writers of results.
pub struct Results {
    records: SyncSender<FrameRecord>,
    pictures: SyncSender<(Arc<Frame>, FrameRecord)>,
    skipped: AtomicU64,
    draw: bool,
}

/// The writers' threads, to be waited for at the end.
pub struct Writers {
    records: JoinHandle<Result<(), RecordsError>>,
    pictures: JoinHandle<()>,
}

impl Results {
    /// Makes the directories, opens `results.jsonl` for appending and starts the writers. Also returns the number for
    /// the next frame: one more than any that an earlier run left there.
    ///
    /// A line that cannot be written cancels `interrupt`.
    ///
    /// # Errors
    ///
    /// A directory or the file cannot be made.
    pub fn start(
        settings: &ResultsSettings,
        interrupt: CancellationToken,
    ) -> Result<(Self, Writers, u64), RecordsError> {
        let (records_file, after_records) = Records::open(&settings.directory)?;
        let (pictures_directories, after_pictures) = Pictures::open(settings)?;
        let (records, waiting_records) = sync_channel(WAITING_RECORDS);
        let (pictures, waiting_pictures) = sync_channel(WAITING_PICTURES);
        let writers = Writers {
            records: std::thread::spawn(move || {
                let written = records_file.write_all(&waiting_records);
                if written.is_err() {
                    interrupt.cancel();
                }
                written
            }),
            pictures: std::thread::spawn(move || pictures_directories.draw_all(&waiting_pictures)),
        };
        let draw = settings.keep_pictures > 0;
        let results = Self { records, pictures, skipped: AtomicU64::new(0), draw };
        Ok((results, writers, after_records.max(after_pictures)))
    }

    /// Takes a frame that nothing more can happen to.
    pub fn submit(&self, frame: Arc<Frame>, record: FrameRecord) {
        if self.draw && self.pictures.try_send((frame, record.clone())).is_err() {
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
        // The writer is gone only after an error, which is ending the daemon.
        let _ = self.records.send(record);
    }

    /// Frames whose pictures were skipped because the drawing could not keep up.
    pub fn skipped_pictures(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }
}

impl Writers {
    /// Waits until everything is written; every [`Results`] must have been dropped.
    ///
    /// # Errors
    ///
    /// The line that could not be written.
    pub fn join(self) -> Result<(), RecordsError> {
        let written = self.records.join().unwrap_or(Err(RecordsError::Panicked));
        if self.pictures.join().is_err() {
            tracing::error!("the drawing thread panicked; the last pictures are missing");
        }
        written
    }
}
