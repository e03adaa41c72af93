use image::{GrayAlphaImage, GrayImage, ImageBuffer, Luma, Rgb, Rgba, RgbaImage};
use jpeg_encoder::{ColorType, Encoder};

use super::*;

const MAX_PIXELS: u64 = 1_000_000;

fn decode(file: &[u8]) -> Result<RgbImage, Refusal> {
    Header::read(file, MAX_PIXELS)?.decode(file)
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.into().write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// A JPEG: left half red, right half blue.
fn red_and_blue(width: u16, height: u16) -> Vec<u8> {
    let pixels: Vec<u8> = (0..usize::from(width) * usize::from(height))
        .flat_map(
            |at| if at % usize::from(width) < usize::from(width) / 2 { [250, 0, 0] } else { [0, 0, 250] },
        )
        .collect();
    let mut file = Vec::new();
    Encoder::new(&mut file, 95).encode(&pixels, width, height, ColorType::Rgb).unwrap();
    file
}

/// `jpeg` with an EXIF segment that holds nothing but an orientation.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut segment = b"\xFF\xE1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    segment.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    [&jpeg[..2], &segment, &jpeg[2..]].concat()
}

fn is_near(pixel: &Rgb<u8>, expected: [u8; 3]) -> bool {
    pixel.0.iter().zip(expected).all(|(a, b)| a.abs_diff(b) < 16)
}

#[test]
fn orientation_is_applied() {
    let file = red_and_blue(64, 32);
    let plain = decode(&file).unwrap();
    assert_eq!(plain.dimensions(), (64, 32));
    assert!(is_near(&plain[(8, 16)], [250, 0, 0]) && is_near(&plain[(56, 16)], [0, 0, 250]));

    // 6: the camera was held such that the picture must be turned clockwise; its left becomes the top.
    let turned = decode(&with_orientation(&file, 6)).unwrap();
    assert_eq!(turned.dimensions(), (32, 64));
    assert!(is_near(&turned[(16, 8)], [250, 0, 0]) && is_near(&turned[(16, 56)], [0, 0, 250]));

    let upside_down = decode(&with_orientation(&file, 3)).unwrap();
    assert!(is_near(&upside_down[(8, 16)], [0, 0, 250]));
    assert_eq!(decode(&with_orientation(&file, 99)).unwrap(), plain);
}

#[test]
fn every_kind_of_pixel_becomes_rgb() {
    let grey = GrayImage::from_pixel(8, 8, Luma([77]));
    let grey_alpha = GrayAlphaImage::from_pixel(8, 8, image::LumaA([77, 128]));
    let grey_16 = ImageBuffer::<Luma<u16>, _>::from_pixel(8, 8, Luma([77 * 257]));
    let rgb_16 = ImageBuffer::<Rgb<u16>, _>::from_pixel(8, 8, Rgb([77 * 257; 3]));
    let rgba = RgbaImage::from_pixel(8, 8, Rgba([77, 77, 77, 0]));
    for file in [
        encoded(grey.clone(), ImageFormat::Png),
        encoded(grey_alpha, ImageFormat::Png),
        encoded(grey_16, ImageFormat::Png),
        encoded(rgb_16, ImageFormat::Png),
        encoded(rgba.clone(), ImageFormat::Png),
        encoded(rgba, ImageFormat::WebP),
    ] {
        assert_eq!(decode(&file).unwrap(), RgbImage::from_pixel(8, 8, Rgb([77; 3])));
    }
    assert!(is_near(&decode(&encoded(grey, ImageFormat::Jpeg)).unwrap()[(4, 4)], [77; 3]));

    let mut cmyk = Vec::new();
    Encoder::new(&mut cmyk, 95).encode(&[0, 255, 255, 0].repeat(64), 8, 8, ColorType::Cmyk).unwrap();
    assert!(is_near(&decode(&cmyk).unwrap()[(4, 4)], [255, 0, 0]), "{:?}", decode(&cmyk).unwrap()[(4, 4)]);
}

#[test]
fn a_progressive_jpeg() {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 90);
    encoder.set_progressive(true);
    encoder.encode(&[9; 64 * 64 * 3], 64, 64, ColorType::Rgb).unwrap();
    assert!(is_near(&decode(&file).unwrap()[(32, 32)], [9; 3]));
    assert!(decode(&file[..file.len() - 2]).is_err());
}

#[test]
fn no_beginning_of_a_file_is_a_picture() {
    let picture = RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 6) as u8, (y * 8) as u8, (x * y) as u8]));
    let jpeg = red_and_blue(40, 30);
    for file in [jpeg, encoded(picture.clone(), ImageFormat::WebP)] {
        for length in 0..file.len() {
            assert!(decode(&file[..length]).is_err(), "{length} of {}", file.len());
        }
        assert!(decode(&file).is_ok());
    }
    // The end chunk of a PNG holds nothing: all pixels are there without it.
    let png = encoded(picture, ImageFormat::Png);
    for length in 0..png.len() - 12 {
        assert!(decode(&png[..length]).is_err(), "{length} of {}", png.len());
    }
}

#[test]
fn too_many_pixels_is_found_in_the_header() {
    let file = encoded(RgbImage::new(1001, 1000), ImageFormat::Png);
    let refused = Refusal::TooManyPixels { width: 1001, height: 1000, limit: MAX_PIXELS };
    // The header is all that is needed to know.
    assert_eq!(Header::read(&file[..60], MAX_PIXELS), Err(refused));
}

#[test]
fn what_it_is_instead_is_told() {
    let found = |file: &[u8]| match decode(file) {
        Err(Refusal::UnsupportedFormat { found }) => found,
        other => panic!("{other:?}"),
    };
    assert_eq!(found(b"GIF89a..."), "a GIF picture");
    assert_eq!(found("grüße\n".repeat(200).as_bytes()), "text");
    assert_eq!(found(&[0xFE, 0xFF, 0, 1]), "of an unknown format");
    assert_eq!(found(b"--boundary\r\nContent-Type: image/jpeg\r\n\r\n\xFF\xD8"), "of an unknown format");
}
