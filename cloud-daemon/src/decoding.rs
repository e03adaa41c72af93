//! Decodes pictures away from the threads that serve connections, and bounds what that holds.

use std::sync::Arc;

use bytes::Bytes;
use detector::picture::{DECODED_BYTES_PER_PIXEL, DECODING_BYTES_PER_PIXEL, Header, PictureError};
use image::RgbImage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::refusal::Refusal;
use crate::upload::Upload;

/// Memory is counted in units of this many pixels.
const UNIT: u64 = 4096;

/// Decodes a few pictures at a time; further ones wait in order of arrival.
#[derive(Debug)]
pub struct Decoding {
    max_pixels: u64,
    slots: Arc<Semaphore>,
    /// Pixels in units, each worth [`DECODING_BYTES_PER_PIXEL`].
    memory: Arc<Semaphore>,
}

/// A decoded picture, and its share of the memory that pictures may hold.
#[derive(Debug)]
pub struct Decoded {
    /// The upright picture.
    pub picture: RgbImage,
    /// Given back when dropped.
    pub memory: OwnedSemaphorePermit,
}

impl Decoding {
    /// Decodes at most `at_once` pictures of at most `max_pixels` at a time. All pictures that are being decoded
    /// or wait for the model hold no more than one of `max_pixels` does while it is decoded.
    pub fn new(at_once: usize, max_pixels: u64) -> Self {
        let units = usize::try_from(max_pixels.div_ceil(UNIT)).unwrap_or(usize::MAX);
        Self {
            max_pixels,
            slots: Arc::new(Semaphore::new(at_once)),
            memory: Arc::new(Semaphore::new(units.clamp(1, Semaphore::MAX_PERMITS))),
        }
    }

    /// The upright picture in `upload`.
    ///
    /// # Errors
    ///
    /// What [`Header::read`] and [`Header::decode`] refuse.
    pub async fn decode(&self, upload: Upload) -> Result<Decoded, Refusal> {
        let _slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| Refusal::Stopping)?;
        let max_pixels = self.max_pixels;
        let file = upload.bytes.clone();
        let header = blocking(move || Header::read(&file, max_pixels)).await?;
        let units = u32::try_from(header.pixels().div_ceil(UNIT).max(1)).unwrap_or(u32::MAX);
        let mut memory =
            Arc::clone(&self.memory).acquire_many_owned(units).await.map_err(|_| Refusal::Stopping)?;
        let file: Bytes = upload.bytes.clone();
        let picture = blocking(move || header.decode(&file)).await?;
        // What only decoding needed is free again.
        let kept = (u64::from(units) * DECODED_BYTES_PER_PIXEL).div_ceil(DECODING_BYTES_PER_PIXEL);
        drop(memory.split(units as usize - kept as usize));
        Ok(Decoded { picture, memory })
    }
}

/// Runs `work` on a blocking thread. Decoders are not ours: one that panics must cost its own request only.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PictureError> + Send + 'static,
) -> Result<T, Refusal> {
    match spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => {
            tracing::error!(%error, "a picture's decoder panicked");
            Err(Refusal::Undecodable { format: "uploaded", reason: "its decoder gave up".into() })
        }
    }
}
