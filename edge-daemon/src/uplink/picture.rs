//! What is uploaded of a frame: no more pixels than the cloud's model sees, as JPEG.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use image::{RgbImage, imageops};
use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// The input of the big model of Sedna's example and of ours, until the cloud tells its own.
    pub const DEFAULT: Self = Self { width: 544, height: 544 };

    /// The size of a picture of this size when it is scaled down to fit into `bounds`; never larger.
    pub fn fit_into(self, bounds: Self) -> Self {
        let scale = (f64::from(bounds.width) / f64::from(self.width))
            .min(f64::from(bounds.height) / f64::from(self.height))
            .min(1.0);
        let scaled = |pixels: u32| ((f64::from(pixels) * scale).round() as u32).max(1);
        Self { width: scaled(self.width), height: scaled(self.height) }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides = text.split_once('x').and_then(|(width, height)| {
            Some(Self { width: width.parse().ok()?, height: height.parse().ok()? })
        });
        sides
            .filter(|size| (16..=8192).contains(&size.width) && (16..=8192).contains(&size.height))
            .ok_or_else(|| "must be WIDTHxHEIGHT in pixels, each 16 to 8192, for example 544x544".to_owned())
    }
}

/// A picture ready to be sent.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) jpeg: Bytes,
    pub(super) size: Size,
}

/// Scales `image` down to fit into `bounds` and encodes it.
pub(super) fn encode(image: &RgbImage, bounds: Size, quality: u8) -> Result<Encoded, EncodingError> {
    let original = Size { width: image.width(), height: image.height() };
    let size = original.fit_into(bounds);
    let shrunk;
    let pixels = if size == original {
        image
    } else {
        // The triangle filter grows with the factor: it averages every pixel that falls into the new one.
        shrunk = imageops::resize(image, size.width, size.height, imageops::FilterType::Triangle);
        &shrunk
    };
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, quality);
    encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
    // No tables made for the picture (`set_optimized_huffman_tables`): with them, jpeg-encoder 0.7 writes one scan
    // for each component, and zune-jpeg 0.5, the usual decoder in Rust, reads such 4:2:0 pictures as noise.
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    encoder.encode(pixels, side(size.width), side(size.height), ColorType::Rgb)?;
    Ok(Encoded { jpeg: jpeg.into(), size })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fitting() {
        let fit = |width, height, bounds: Size| Size { width, height }.fit_into(bounds).to_string();
        assert_eq!(fit(1280, 720, Size::DEFAULT), "544x306");
        assert_eq!(fit(720, 1280, Size::DEFAULT), "306x544");
        assert_eq!(fit(320, 240, Size::DEFAULT), "320x240");
        assert_eq!(fit(4000, 1, Size::DEFAULT), "544x1");
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!("736x416".parse(), Ok(Size { width: 736, height: 416 }));
        for text in ["", "544", "0x544", "544x", "-1x20", "9000x10"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_jpeg_has_the_announced_size() {
        let image = RgbImage::from_fn(1280, 720, |x, y| image::Rgb([x as u8, y as u8, 90]));
        let encoded = encode(&image, Size::DEFAULT, 75).unwrap();
        assert_eq!(encoded.size, Size { width: 544, height: 306 });
        // Start of frame (0xFFC0): precision, height, width.
        let at = encoded.jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
        assert_eq!(&encoded.jpeg[at + 5..at + 9], [306u16.to_be_bytes(), 544u16.to_be_bytes()].concat());
    }

    #[test]
    fn what_is_sent_is_what_was_seen() {
        let image = RgbImage::from_fn(1000, 701, |x, y| image::Rgb([(x / 4) as u8, (y / 3) as u8, 90]));
        for bounds in [Size::DEFAULT, Size { width: 1000, height: 1000 }] {
            let encoded = encode(&image, bounds, 70).unwrap();
            let decoded = image::load_from_memory(&encoded.jpeg).unwrap().to_rgb8();
            assert_eq!(decoded.dimensions(), (encoded.size.width, encoded.size.height));
            let scale = f64::from(image.width()) / f64::from(decoded.width());
            let mut worst = 0;
            for (x, y, pixel) in decoded.enumerate_pixels() {
                let at = |pixel: u32, side: u32| ((f64::from(pixel) * scale) as u32).min(side - 1);
                let original = image.get_pixel(at(x, image.width()), at(y, image.height()));
                let apart = |channel: usize| pixel.0[channel].abs_diff(original.0[channel]);
                worst = worst.max(apart(0)).max(apart(1)).max(apart(2));
            }
            assert!(worst < 32, "{bounds}: a value is {worst} away");
        }
    }

    proptest! {
        #[test]
        fn never_larger_than_either(width in 1u32..5000, height in 1u32..5000, w in 16u32..2000, h in 16u32..2000) {
            let size = Size { width, height }.fit_into(Size { width: w, height: h });
            prop_assert!(size.width <= w.min(width) && size.height <= h.min(height));
            prop_assert!(size.width >= 1 && size.height >= 1);
        }
    }
}
