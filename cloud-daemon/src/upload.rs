//! Reads a request's body within a size, a time, and the memory that all uploads share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{timeout, timeout_at};

use crate::refusal::Refusal;

/// How long a body may stand still: a narrow uplink that loses packets is quiet for many seconds.
const IDLE: Duration = Duration::from_secs(60);
/// How long a body may take in all.
const WHOLE: Duration = Duration::from_secs(600);
/// How long the rest of a refused body is read and thrown away. A connection that is closed with unread bytes is
/// reset, and the caller may then never see the reply.
const LINGER: Duration = Duration::from_secs(10);
/// Memory is counted in units of this many bytes.
const UNIT: usize = 1024;

/// Reads bodies.
#[derive(Debug)]
pub struct Uploads {
    max_body: usize,
    /// Kilobytes that all uploads together may hold.
    memory: Arc<Semaphore>,
}

/// A whole body, and its share of the memory that uploads may hold.
#[derive(Debug)]
pub struct Upload {
    /// The body.
    pub bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Uploads {
    /// Takes bodies of at most `max_body` bytes, of at most `memory` bytes (but at least one body) together.
    pub fn new(max_body: usize, memory: usize) -> Self {
        // A buffer that grows may be twice as large as what is in it.
        let units = memory.max(2 * max_body).div_ceil(UNIT) + 1;
        Self { max_body, memory: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))) }
    }

    /// Reads `body` to its end, which must come before `deadline`.
    ///
    /// A body that is refused halfway is read on in the background for a moment, so that the caller sees the
    /// reply.
    ///
    /// # Errors
    ///
    /// [`Refusal::EmptyBody`], [`Refusal::BodyTooLarge`], [`Refusal::BodyTimeout`], [`Refusal::BodyBroken`],
    /// [`Refusal::Uploads`], [`Refusal::DeadlinePassed`].
    pub async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Body,
        deadline: Option<Instant>,
    ) -> Result<Upload, Refusal> {
        let too_large = Refusal::BodyTooLarge { limit: self.max_body };
        let declared =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if declared.is_some_and(|length: u64| length > self.max_body as u64) {
            return Err(refuse(headers, body, too_large));
        }

        let end = Instant::now() + WHOLE;
        let mut bytes = Vec::new();
        let mut memory: Option<OwnedSemaphorePermit> = None;
        loop {
            let until = deadline.map_or(end, |deadline| deadline.min(end));
            let frame = match timeout_at(until.into(), timeout(IDLE, body.frame())).await {
                Ok(Ok(Some(Ok(frame)))) => frame,
                Ok(Ok(None)) => break,
                Ok(Ok(Some(Err(error)))) => return Err(Refusal::BodyBroken { reason: error.to_string() }),
                Err(_) if deadline.is_some_and(|deadline| deadline <= end) => {
                    return Err(refuse(headers, body, Refusal::DeadlinePassed));
                }
                Ok(Err(_)) | Err(_) => return Err(Refusal::BodyTimeout { received: bytes.len() }),
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > self.max_body {
                return Err(refuse(headers, body, too_large));
            }
            if let Err(refusal) = self.make_room(&mut bytes, &mut memory, data.len()) {
                return Err(refuse(headers, body, refusal));
            }
            bytes.extend_from_slice(&data);
        }
        if bytes.is_empty() {
            return Err(Refusal::EmptyBody);
        }
        Ok(Upload { bytes: bytes.into(), _memory: memory })
    }

    /// Room in `bytes` for `more`, counted in `memory`.
    fn make_room(
        &self,
        bytes: &mut Vec<u8>,
        memory: &mut Option<OwnedSemaphorePermit>,
        more: usize,
    ) -> Result<(), Refusal> {
        let needed = bytes.len() + more;
        if needed <= bytes.capacity() {
            return Ok(());
        }
        let capacity = needed.max(2 * bytes.capacity()).min(self.max_body.max(needed));
        let held = memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let units = u32::try_from(capacity.div_ceil(UNIT) - held).map_err(|_| Refusal::Uploads)?;
        let granted = Arc::clone(&self.memory).try_acquire_many_owned(units).map_err(|_| Refusal::Uploads)?;
        match memory {
            Some(memory) => memory.merge(granted),
            None => *memory = Some(granted),
        }
        bytes.reserve_exact(capacity - bytes.len());
        Ok(())
    }
}

/// Refuses a request before its body has been read: what still comes of it is thrown away, for a while.
pub fn refuse(headers: &HeaderMap, mut body: Body, refusal: Refusal) -> Refusal {
    // Whoever asked whether to send the body at all is told no by the reply itself.
    if !headers.contains_key(header::EXPECT) {
        tokio::spawn(timeout(LINGER, async move { while let Some(Ok(_)) = body.frame().await {} }));
    }
    refusal
}

#[cfg(test)]
mod tests {
    use http_body_util::channel::{Channel, Sender};

    use super::*;

    /// A body of `chunks`, which does not end while the sender is there.
    async fn unfinished(chunks: &[&'static str]) -> (Sender<Bytes>, Body) {
        let (mut sender, body) = Channel::new(chunks.len());
        for chunk in chunks {
            sender.send_data(Bytes::from_static(chunk.as_bytes())).await.unwrap();
        }
        (sender, Body::new(body))
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit() {
        let uploads = Uploads::new(8, 0);
        let none = HeaderMap::new();
        let upload = uploads.read(&none, Body::from("12345678"), None).await.unwrap();
        assert_eq!(upload.bytes, "12345678");
        let refused = uploads.read(&none, Body::from("123456789"), None).await.unwrap_err();
        assert_eq!(refused, Refusal::BodyTooLarge { limit: 8 });
        assert_eq!(uploads.read(&none, Body::empty(), None).await.unwrap_err(), Refusal::EmptyBody);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls() {
        let uploads = Uploads::new(100, 0);
        let none = HeaderMap::new();
        let (_sender, body) = unfinished(&["123", "45"]).await;
        let refused = uploads.read(&none, body, None).await.unwrap_err();
        assert_eq!(refused, Refusal::BodyTimeout { received: 5 });
        let deadline = Some(Instant::now() + Duration::from_secs(1));
        let (_sender, body) = unfinished(&["123"]).await;
        let refused = uploads.read(&none, body, deadline).await.unwrap_err();
        assert_eq!(refused, Refusal::DeadlinePassed);
    }

    #[tokio::test]
    async fn all_bodies_share_the_memory() {
        let uploads = Uploads::new(100_000, 0);
        let none = HeaderMap::new();
        let body = || Body::from(vec![1; 90_000]);
        let held = [
            uploads.read(&none, body(), None).await.unwrap(),
            uploads.read(&none, body(), None).await.unwrap(),
        ];
        assert_eq!(uploads.read(&none, body(), None).await.unwrap_err(), Refusal::Uploads);
        drop(held);
        uploads.read(&none, body(), None).await.unwrap();
    }
}
