//! The rows of a picture, with bytes behind each that vectors may read.

use image::RgbImage;

/// A picture's rows.
#[derive(Debug)]
pub(super) struct Source<'a> {
    bytes: &'a [u8],
    /// Bytes of a row.
    length: usize,
    /// A row near the end of the picture, and zeros.
    copy: Vec<u8>,
}

impl<'a> Source<'a> {
    /// What may be read behind a row, in bytes.
    pub(super) const MORE: usize = 64;

    pub(super) fn new(image: &'a RgbImage) -> Self {
        let length = image.width() as usize * 3;
        Self { bytes: image.as_raw(), length, copy: vec![0; length + Self::MORE] }
    }

    /// A row's bytes and [`Source::MORE`] others.
    pub(super) fn row(&mut self, number: usize) -> &[u8] {
        let start = number * self.length;
        if let Some(row) = self.bytes.get(start..start + self.length + Self::MORE) {
            return row;
        }
        self.copy[..self.length].copy_from_slice(&self.bytes[start..][..self.length]);
        &self.copy
    }
}
