//! JPEG files whose components lie in scans of their own.
//!
//! The decoder of `image` (zune-jpeg 0.5) makes noise of them where colour is subsampled, and reports no error. Such
//! files are rare but valid: some encoders write them when they optimise Huffman tables. `jpeg-decoder` reads them.

use std::io::Cursor;

use image::RgbImage;
use jpeg_decoder::{Decoder, PixelFormat};

use super::Header;

/// The pixels of `file`, as stored.
///
/// # Errors
///
/// What is wrong with it, in words; four components (CMYK) are not read.
pub(super) fn decode(file: &[u8], header: &Header) -> Result<RgbImage, String> {
    let mut decoder = Decoder::new(Cursor::new(file));
    let pixels = usize::try_from(header.pixels()).map_err(|_| "it has too many pixels for this machine")?;
    decoder.set_max_decoding_buffer_size(pixels.saturating_mul(3));
    decoder.read_info().map_err(|error| error.to_string())?;
    let info = decoder.info().ok_or("it has no frame header")?;
    if info.pixel_format != PixelFormat::RGB24 {
        return Err(
            "its components are in scans of their own and are not those of a colour picture, which is \
                    not read; save it again with interleaved scans, or as PNG"
                .into(),
        );
    }
    if (u32::from(info.width), u32::from(info.height)) != (header.width, header.height) {
        return Err("its size is not certain".into());
    }
    let pixels = decoder.decode().map_err(|error| error.to_string())?;
    RgbImage::from_raw(header.width, header.height, pixels).ok_or_else(|| "pixels are missing".into())
}
