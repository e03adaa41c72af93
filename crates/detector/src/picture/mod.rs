//! An encoded picture to pixels.
//!
//! JPEG, PNG and WebP, told apart by their content. Every form of them ends as 8-bit RGB: grey, palette, 16-bit and
//! CMYK pictures are converted, an alpha channel is dropped, of an animation the first frame is taken. The EXIF
//! orientation is applied: size and boxes are those of the upright picture.
//!
//! Files are hostile until proven otherwise: [`Header::read`] knows the size before a pixel is unpacked, and
//! [`Header::decode`] holds no more than [`DECODING_BYTES_PER_PIXEL`] for each of them.

mod error;
mod jpeg;
mod palette;
mod scans_apart;
mod webp;

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

pub use error::PictureError;

/// What decoding may hold for each pixel, in bytes: 8 for 16-bit RGBA or for a progressive JPEG's coefficients,
/// and the RGB picture.
pub const DECODING_BYTES_PER_PIXEL: u64 = 12;
/// What a decoded picture holds for each pixel, in bytes.
pub const DECODED_BYTES_PER_PIXEL: u64 = 3;

/// What the parts of a file before its pixels may unpack to (colour profiles are compressed in PNG), in bytes.
const METADATA_BYTES: u64 = 16 << 20;

/// A picture's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    format: ImageFormat,
    /// Pixels in a row, as stored.
    pub width: u32,
    /// Rows, as stored.
    pub height: u32,
}

impl Header {
    /// Reads the header of `file` without unpacking any pixels.
    ///
    /// # Errors
    ///
    /// [`PictureError::UnsupportedFormat`], [`PictureError::Undecodable`], and [`PictureError::TooManyPixels`] if there
    /// are more than `max_pixels`.
    pub fn read(file: &[u8], max_pixels: u64) -> Result<Self, PictureError> {
        let format = format_of(file)?;
        let decoder = decoder(file, format, METADATA_BYTES)?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > max_pixels {
            return Err(PictureError::TooManyPixels { width, height, limit: max_pixels });
        }
        Ok(Self { format, width, height })
    }

    /// How many pixels the picture has.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// The upright picture of `file`, whose header this is.
    ///
    /// # Errors
    ///
    /// [`PictureError::Undecodable`] if the file is broken or cut short.
    pub fn decode(&self, mut file: &[u8]) -> Result<RgbImage, PictureError> {
        let jpeg = match self.format {
            ImageFormat::Jpeg => Some(jpeg::structure(file).ok_or_else(|| cut_short(self.format))?),
            ImageFormat::WebP => {
                // The decoder would look for chunks behind the end, too.
                file = webp::whole(file, (self.width, self.height)).map_err(|problem| match problem {
                    webp::Problem::CutShort => cut_short(self.format),
                    webp::Problem::LargeFrame => {
                        undecodable(self.format, "a frame is larger than the picture")
                    }
                })?;
                None
            }
            ImageFormat::Png if !palette::is_whole(file) => {
                return Err(undecodable(self.format, "its palette is not one of 1 to 256 colours"));
            }
            _ => None,
        };
        if let Some(jpeg::Structure { frames: 2.., .. }) = jpeg {
            return Err(undecodable(self.format, "it has several frame headers, so its size is not certain"));
        }
        let apart = jpeg.filter(|jpeg| jpeg.scans_apart);
        if let Some(jpeg::Structure { scans: 5.., .. }) = apart {
            return Err(undecodable(self.format, "it has more scans than components"));
        }
        let mut decoder =
            decoder(file, self.format, METADATA_BYTES + self.pixels() * DECODING_BYTES_PER_PIXEL)?;
        // A picture is no worse for a broken note on how it was held.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let pixels = if apart.is_some() {
            scans_apart::decode(file, self).map_err(|reason| undecodable(self.format, &reason))?
        } else {
            DynamicImage::from_decoder(decoder).map_err(|error| broken(self.format, &error))?.into_rgb8()
        };
        let mut upright = DynamicImage::ImageRgb8(pixels);
        upright.apply_orientation(orientation);
        Ok(upright.into_rgb8())
    }
}

/// The format of `file`, by its first bytes.
fn format_of(file: &[u8]) -> Result<ImageFormat, PictureError> {
    match image::guess_format(file) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP)) => Ok(format),
        Ok(other) => Err(PictureError::UnsupportedFormat { found: format!("a {} picture", name(other)) }),
        Err(_) => {
            let start = &file[..file.len().min(512)];
            let text = match std::str::from_utf8(start) {
                Ok(_) => true,
                Err(error) => error.error_len().is_none() && error.valid_up_to() > 0,
            };
            let found = if text { "text" } else { "of an unknown format" };
            Err(PictureError::UnsupportedFormat { found: found.into() })
        }
    }
}

/// A decoder that has read the header and unpacks no more than `max_bytes`.
fn decoder(file: &[u8], format: ImageFormat, max_bytes: u64) -> Result<impl ImageDecoder + '_, PictureError> {
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(max_bytes);
    reader.limits(limits);
    reader.into_decoder().map_err(|error| broken(format, &error))
}

fn cut_short(format: ImageFormat) -> PictureError {
    undecodable(format, "it is cut short: the whole file is needed")
}

fn broken(format: ImageFormat, error: &image::ImageError) -> PictureError {
    undecodable(format, &error.to_string())
}

fn undecodable(format: ImageFormat, reason: &str) -> PictureError {
    PictureError::Undecodable { format: name(format), reason: reason.into() }
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Gif => "GIF",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Tiff => "TIFF",
        ImageFormat::Avif => "AVIF",
        other => other.to_mime_type(),
    }
}

#[cfg(test)]
mod tests;
