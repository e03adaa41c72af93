use image::{GrayAlphaImage, GrayImage, ImageBuffer, Luma, Rgb, Rgba, RgbaImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::*;

const MAX_PIXELS: u64 = 1_000_000;

fn decode(file: &[u8]) -> Result<RgbImage, PictureError> {
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

    let mut palette = Vec::new();
    let mut encoder = png::Encoder::new(&mut palette, 8, 8);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Two);
    encoder.set_palette(vec![0, 0, 0, 10, 20, 30, 255, 255, 255]);
    // Two bits a pixel, all of them entry 1.
    encoder.write_header().unwrap().write_image_data(&[0b0101_0101; 16]).unwrap();
    assert_eq!(decode(&palette).unwrap(), RgbImage::from_pixel(8, 8, Rgb([10, 20, 30])));

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

/// A picture with edges and colours at every scale, so that blocks in the wrong place are noticed.
fn patchwork(width: u16, height: u16) -> Vec<u8> {
    let pixel = |x: usize, y: usize| [(x * 3) as u8, (y * 5) as u8, ((x / 16 + y / 16) % 2 * 200) as u8];
    let (width, height) = (usize::from(width), usize::from(height));
    (0..width * height).flat_map(|at| pixel(at % width, at / width)).collect()
}

#[test]
fn a_jpeg_whose_components_have_scans_of_their_own() {
    // Sizes that end within a block, within a double block, and with neither.
    for (width, height) in [(64, 48), (67, 45), (73, 57), (8, 8), (1, 1)] {
        for sampling in [SamplingFactor::F_1_1, SamplingFactor::F_2_2, SamplingFactor::F_2_1] {
            let file = |apart: bool| {
                let mut file = Vec::new();
                let mut encoder = Encoder::new(&mut file, 95);
                encoder.set_sampling_factor(sampling);
                encoder.set_optimized_huffman_tables(apart);
                encoder.encode(&patchwork(width, height), width, height, ColorType::Rgb).unwrap();
                file
            };
            let (together, apart) = (file(false), file(true));
            assert!(!jpeg::structure(&together).unwrap().scans_apart);
            assert!(jpeg::structure(&apart).unwrap().scans_apart);
            let (together, apart) = (decode(&together).unwrap(), decode(&apart).unwrap());
            let differences = together.as_raw().iter().zip(apart.as_raw()).map(|(a, b)| a.abs_diff(*b));
            let mean = differences.map(f64::from).sum::<f64>() / together.as_raw().len() as f64;
            assert!(mean < 4.0, "{width}x{height} {sampling:?}: {mean}");
        }
    }
}

#[test]
fn a_component_without_its_scan_is_an_error() {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 95);
    encoder.set_optimized_huffman_tables(true);
    encoder.encode(&patchwork(64, 48), 64, 48, ColorType::Rgb).unwrap();
    let scans: Vec<usize> = (0..file.len()).filter(|&at| file[at..].starts_with(&[0xFF, 0xDA])).collect();
    let last = *scans.last().unwrap();
    assert_eq!(scans.len(), 3);
    assert!(decode(&[&file[..last], &[0xFF, 0xD9]].concat()).is_err());
    // The same scan again and again costs time and adds nothing.
    let again = file[last..file.len() - 2].repeat(3);
    assert!(decode(&[&file[..last], &again, &file[last..]].concat()).is_err());
}

#[test]
fn four_components_apart_are_refused() {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 90);
    encoder.set_optimized_huffman_tables(true);
    encoder.encode(&[9; 64 * 4], 8, 8, ColorType::Cmyk).unwrap();
    let refused = decode(&file).unwrap_err().to_string();
    assert!(refused.contains("save it again with interleaved scans"), "{refused}");
}

#[test]
fn a_jpeg_with_two_sizes_is_refused() {
    let file = red_and_blue(64, 32);
    // The frame header once more, with another height, just before the scan.
    let at = |code: u8| file.windows(2).position(|pair| pair == [0xFF, code]).unwrap();
    let (frame, scan) = (at(0xC0), at(0xDA));
    let mut again = file[frame..frame + 19].to_vec();
    again[6] = 255;
    let file = [&file[..scan], &again, &file[scan..]].concat();
    assert!(decode(&file).is_err());
}

/// A RIFF chunk.
fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    [name, &length[..], content, &[0][..content.len() % 2]].concat()
}

#[test]
fn of_an_animation_the_first_frame() {
    let size = |value: u32| value.to_le_bytes()[..3].to_vec();
    let frame = |colour: [u8; 3]| {
        let still = encoded(RgbImage::from_pixel(16, 12, Rgb(colour)), ImageFormat::WebP);
        // The still's only chunk, after the header of 12 bytes; x, y, width - 1, height - 1, duration, flags.
        let place = [size(0), size(0), size(15), size(11), size(100), vec![0]].concat();
        chunk(b"ANMF", &[&place, &still[12..]].concat())
    };
    let canvas = [vec![0b10, 0, 0, 0], size(15), size(11)].concat();
    let chunks = [
        b"WEBP".to_vec(),
        chunk(b"VP8X", &canvas),
        chunk(b"ANIM", &[0; 6]),
        frame([200, 10, 10]),
        frame([10, 10, 200]),
    ]
    .concat();
    let file = chunk(b"RIFF", &chunks);
    let first = decode(&file).unwrap();
    // The second side of the first frame, less one, in the header of what is compressed.
    let mut large = file.clone();
    let frame = large.windows(4).position(|name| name == b"VP8L").unwrap();
    large[frame + 8 + 4] |= 0x0f;
    let refused = decode(&large).unwrap_err().to_string();
    assert!(refused.contains("a frame is larger than the picture"), "{refused}");
    assert_eq!(first.dimensions(), (16, 12));
    // Frames are blended with the ground, which may round.
    assert!(first.pixels().all(|pixel| is_near(pixel, [200, 10, 10])));
}

#[test]
fn a_png_with_a_palette_of_parts_of_colours_is_refused() {
    // The encoder does not look at it either.
    let file = |palette: usize| {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 8, 8);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(vec![7; palette]);
        encoder.write_header().unwrap().write_image_data(&[0; 64]).unwrap();
        file
    };
    for colours in [1, 2, 256] {
        assert!(decode(&file(3 * colours)).is_ok(), "{colours}");
    }
    // The decoder finds that some of these are wrong itself.
    for length in [1, 2, 4, 49, 767, 769, 771, 900] {
        assert!(decode(&file(length)).is_err(), "{length}");
        assert!(!palette::is_whole(&file(length)), "{length}");
    }
}

#[test]
fn a_webp_whose_frame_is_larger_than_it_says_is_refused() {
    // Sides of 16 bits where what is compressed begins; this is all that is looked at.
    let lossy = [0, 0, 0, 0x9d, 1, 0x2a, 16, 0x40, 13, 0];
    let file = chunk(b"RIFF", &[&b"WEBP"[..], &chunk(b"VP8 ", &lossy)].concat());
    assert_eq!(webp::whole(&[&file[..], b"behind"].concat(), (16, 13)), Ok(file.as_slice()));
    for picture in [(15, 13), (16, 12)] {
        assert_eq!(webp::whole(&file, picture), Err(webp::Problem::LargeFrame));
    }
}

#[test]
fn a_webp_with_a_chunk_longer_than_itself_is_refused() {
    let still = encoded(RgbImage::new(16, 12), ImageFormat::WebP);
    let canvas = [&[0b1000, 0, 0, 0], &15u32.to_le_bytes()[..3], &11u32.to_le_bytes()[..3]].concat();
    let file = |length: u32| {
        let note = [&b"EXIF"[..], &length.to_le_bytes(), b"MM\0*\0\0\0\x08"].concat();
        chunk(b"RIFF", &[b"WEBP", &chunk(b"VP8X", &canvas)[..], &still[12..], &note].concat())
    };
    assert!(decode(&file(8)).is_ok());
    for length in [9, 10, 1 << 20, u32::MAX] {
        let refused = decode(&file(length)).unwrap_err().to_string();
        assert!(refused.contains("cut short"), "{length}: {refused}");
    }
    // What is behind the end is no part of it.
    let whole = file(8);
    let note = [&b"EXIF"[..], &u32::MAX.to_le_bytes(), b"MM"].concat();
    assert_eq!(decode(&[&whole[..], &note].concat()).unwrap(), decode(&whole).unwrap());
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
    let refused = PictureError::TooManyPixels { width: 1001, height: 1000, limit: MAX_PIXELS };
    // The header is all that is needed to know.
    assert_eq!(Header::read(&file[..60], MAX_PIXELS), Err(refused));
}

#[test]
fn what_it_is_instead_is_told() {
    let found = |file: &[u8]| match decode(file) {
        Err(PictureError::UnsupportedFormat { found }) => found,
        other => panic!("{other:?}"),
    };
    assert_eq!(found(b"GIF89a..."), "a GIF picture");
    assert_eq!(found("grüße\n".repeat(200).as_bytes()), "text");
    assert_eq!(found(&[0xFE, 0xFF, 0, 1]), "of an unknown format");
    assert_eq!(found(b"--boundary\r\nContent-Type: image/jpeg\r\n\r\n\xFF\xD8"), "of an unknown format");
}
