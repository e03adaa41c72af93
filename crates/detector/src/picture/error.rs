//! Why a file is not taken as a picture.

/// Why a file is not taken as a picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// Content that is none of the formats.
    #[error("it is {found}, not a JPEG, PNG or WebP picture; convert it to one of these")]
    UnsupportedFormat {
        /// What it seems to be: `text`, `a GIF picture`.
        found: String,
    },
    /// Content that begins as one of the formats and is broken.
    #[error("the {format} picture cannot be decoded: {reason}")]
    Undecodable {
        /// The format.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// More pixels than allowed.
    #[error("it has {width}x{height} pixels, more than the {limit} allowed; scale it down, or allow more")]
    TooManyPixels {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The limit.
        limit: u64,
    },
}
