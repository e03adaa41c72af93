use image::Rgb;
use proptest::prelude::*;

use super::*;

/// The letterboxed picture as `[3, height, width]`.
fn planar(family: Family, image: &RgbImage, height: usize, width: usize, planes: &mut [f32]) {
    let mut pixels = vec![f32::NAN; 3 * height * width];
    letterbox(family, image, PictureMut::new(&mut pixels, 3 * width, (height, width)));
    for (index, pixel) in pixels.chunks_exact(3).enumerate() {
        for (channel, value) in pixel.iter().enumerate() {
            planes[channel * height * width + index] = *value;
        }
    }
}

#[test]
fn sizes_are_cut_not_rounded() {
    // The sizes that Sedna's example arrives at.
    assert_eq!(scaled_size(Family::Yolov3Resnet18, (1280, 720), 416, 736), (736, 413));
    assert_eq!(scaled_size(Family::Yolov3Resnet18, (1920, 1080), 416, 736), (736, 414));
    assert_eq!(scaled_size(Family::Yolov3Resnet18, (1280, 720), 544, 544), (544, 306));
    assert_eq!(scaled_size(Family::Yolov3Resnet18, (100, 100), 416, 736), (416, 416));
    // A width of 0.004 is kept as a pixel.
    assert_eq!(scaled_size(Family::Yolov3Resnet18, (1, 100_000), 416, 736), (1, 415));
}

/// Every pixel of what OpenCV makes of 8-bit pictures, by a checksum; `make.py` beside the file made it.
#[test]
fn whole_pixels_are_those_of_opencv() {
    #[derive(serde::Deserialize)]
    struct Case {
        picture: (u32, u32),
        seed: u32,
        input: (usize, usize),
        fnv1a: String,
    }
    let cases = include_str!("../../tests/fixtures/onnx/letterbox.json");
    let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
    for Case { picture: (width, height), seed, input, fnv1a } in cases {
        let image = RgbImage::from_fn(width, height, |x, y| {
            Rgb([0, 1, 2].map(|c| {
                let blocks = (x / 8 + 1) * (y / 8 + 3) * (37 + 11 * c);
                (x * (3 + 2 * c) + y * (5 + c) + blocks + 57 * seed) as u8
            }))
        });
        let mut pixels = vec![f32::NAN; 3 * input.0 * input.1];
        letterbox(Family::Yolov8, &image, PictureMut::new(&mut pixels, 3 * input.1, input));
        let checksum = pixels.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, pixel| {
            (sum ^ (pixel * 255.0).round() as u64).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!(format!("{checksum:016x}"), fnv1a, "{width}x{height} in {input:?}");
    }
}

#[test]
fn doubling_a_row_by_hand() {
    // Two pixels become four: centres at -0.25, 0.25, 0.75, 1.25 of the source.
    let image = RgbImage::from_fn(2, 1, |x, _| Rgb(if x == 0 { [0, 100, 40] } else { [200, 100, 80] }));
    let mut planes = vec![0.0; 3 * 2 * 4];
    planar(Family::Yolov3Resnet18, &image, 2, 4, &mut planes);
    let expected = |values: [f32; 4]| values.map(|value| value / 255.0);
    for row in 0..2 {
        assert_eq!(planes[4 * row..][..4], expected([0.0, 50.0, 150.0, 200.0]));
        assert_eq!(planes[8 + 4 * row..][..4], expected([100.0; 4]));
        assert_eq!(planes[16 + 4 * row..][..4], expected([40.0, 50.0, 70.0, 80.0]));
    }
}

#[test]
fn halving_takes_the_two_middle_pixels_only() {
    // No antialiasing: the centre of each half lies between two pixels; the others are not looked at.
    let image = RgbImage::from_fn(8, 8, |x, _| Rgb([[9, 10, 20, 9, 9, 30, 50, 9][x as usize]; 3]));
    let mut planes = vec![0.0; 3 * 2 * 2];
    planar(Family::Yolov3Resnet18, &image, 2, 2, &mut planes);
    assert_eq!(planes[..4], [15.0, 40.0, 15.0, 40.0].map(|value: f32| value / 255.0));
}

#[test]
fn the_rest_is_grey_and_an_odd_pixel_goes_below() {
    let image = RgbImage::from_pixel(1280, 720, Rgb([255, 0, 51]));
    let (height, width) = (416, 736);
    let mut planes = vec![7.0; 3 * height * width];
    planar(Family::Yolov3Resnet18, &image, height, width, &mut planes);
    for (channel, colour) in [1.0, 0.0, 0.2].into_iter().enumerate() {
        for y in 0..height {
            // 413 rows: 1 above, 2 below.
            let expected = if (1..414).contains(&y) { colour } else { 128.0 / 255.0 };
            let row = &planes[(channel * height + y) * width..][..width];
            assert!(row.iter().all(|&value| (value - expected).abs() < 1e-6), "{channel} {y}");
        }
    }
}

#[test]
fn darknet_scales_in_whole_numbers() {
    let sizes = |picture, height, width| scaled_size(Family::Yolov3Darknet, picture, height, width);
    assert_eq!(sizes((1280, 720), 416, 736), (736, 414));
    assert_eq!(sizes((1280, 720), 416, 416), (416, 234));
    assert_eq!(sizes((768, 576), 416, 416), (416, 312));
    assert_eq!(sizes((576, 768), 416, 416), (312, 416));
    assert_eq!(sizes((1, 100_000), 416, 736), (1, 416));
    assert_eq!(sizes((u32::MAX, u32::MAX), 2048, 2048), (2048, 2048));
}

#[test]
fn darknet_scales_from_outermost_pixel_to_outermost_pixel() {
    // Three pixels become five: at 0, 0.5, 1, 1.5 and 2. The sixth column of the input is grey.
    let image = RgbImage::from_fn(3, 3, |x, y| Rgb([[0, 100, 40][x as usize], [0, 20, 255][y as usize], 51]));
    let mut planes = vec![0.0; 3 * 5 * 6];
    planar(Family::Yolov3Darknet, &image, 5, 6, &mut planes);
    for row in 0..5 {
        let near = |plane: usize, expected: [f32; 6]| {
            for (found, expected) in planes[(plane * 5 + row) * 6..][..6].iter().zip(expected) {
                assert!((found - expected / 255.0).abs() < 1e-6, "{plane} {row}: {found} {expected}");
            }
        };
        let y = [0.0, 10.0, 20.0, 137.5, 255.0][row];
        near(0, [0.0, 50.0, 100.0, 70.0, 40.0, 127.5]);
        near(1, [y, y, y, y, y, 127.5]);
        near(2, [51.0, 51.0, 51.0, 51.0, 51.0, 127.5]);
    }
    // A single pixel is every pixel.
    let mut planes = vec![0.0; 3 * 4 * 4];
    planar(Family::Yolov3Darknet, &RgbImage::from_pixel(1, 1, Rgb([255; 3])), 4, 4, &mut planes);
    assert!(planes.iter().all(|&value| value == 1.0));
}

/// A pixel of the scaled picture by itself, in the order of operations of each family's original.
fn alone(family: Family, image: &RgbImage, column: &tap::Tap, row: &tap::Tap, channel: usize) -> f32 {
    let across = |y: usize| {
        let at = |x: usize| f32::from(image.get_pixel(x as u32, y as u32)[channel]);
        at(column.first) * column.weights[0] + at(column.second) * column.weights[1]
    };
    let rows = [(across(row.first), row.weights[0]), (across(row.second), row.weights[1])];
    let value = match family {
        Family::Yolov5 | Family::Yolov8 => {
            let [first, second] = rows.map(|(value, share)| (share as i32 * (value as i32 >> 4)) >> 16);
            ((first + second + 2) >> 2) as f32
        }
        _ => rows[0].0 * rows[0].1 + rows[1].0 * rows[1].1,
    };
    value / 255.0
}

/// Bilinear interpolation straight from its definition, in `f64`.
fn naive(image: &RgbImage, (width, height): (usize, usize), x: usize, y: usize, channel: usize) -> f64 {
    let position = |at: usize, target: usize, source: u32| {
        let centre = (at as f64 + 0.5) * f64::from(source) / target as f64 - 0.5;
        centre.clamp(0.0, f64::from(source - 1))
    };
    let (x, y) = (position(x, width, image.width()), position(y, height, image.height()));
    let mut sum = 0.0;
    for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let (column, row) = (x as u32 + dx, y as u32 + dy);
        let share = (1.0 - (x - f64::from(column)).abs()) * (1.0 - (y - f64::from(row)).abs());
        if share > 0.0 && column < image.width() && row < image.height() {
            sum += share * f64::from(image.get_pixel(column, row)[channel]);
        }
    }
    sum / 255.0
}

fn noise((width, height): (u32, u32), seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let mixed =
            (x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77) ^ seed).wrapping_mul(0xc2b2_ae3d);
        Rgb([mixed as u8, (mixed >> 8) as u8, (mixed >> 16) as u8])
    })
}

/// Sides of pictures: most near the input's, some many times as long.
fn sides() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1..90u32, 2 => 90..500u32, 1 => 500..2000u32]
}

/// Every fraction that a sum may have; all sums between two powers of two differ from these by a power of two, and so do their
/// quotients.
#[test]
fn a_255th_is_the_quotient_for_every_sum() {
    for bits in 1.0f32.to_bits()..=2.0f32.to_bits() {
        let sum = f32::from_bits(bits);
        assert_eq!(vector::part(sum).to_bits(), (sum / 255.0).to_bits(), "{sum}");
    }
    for exponent in -90..=100 {
        let sum = 1.7f32 * 2f32.powi(exponent);
        assert_eq!(vector::part(sum).to_bits(), (sum / 255.0).to_bits(), "{sum}");
    }
    assert_eq!(vector::part(0.0).to_bits(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// To the bit: other engines' results are compared with ours.
    #[test]
    fn rows_at_once_are_pixels_alone(
        family in proptest::sample::select(Family::ALL.to_vec()),
        size in (sides(), sides()),
        input in (1..4usize, 1..4usize),
        seed in any::<u32>(),
    ) {
        let image = noise(size, seed);
        let (height, width) = (32 * input.0, 32 * input.1);
        let scaled = scaled_size(family, size, height, width);
        let (left, top) = (padding(width, scaled.0), padding(height, scaled.1));
        let (columns, rows) = taps(family, size, scaled);
        let expected: Vec<u32> = (0..3 * height * width)
            .map(|index| {
                let (y, x, channel) = (index / (3 * width), index / 3 % width, index % 3);
                let row = y.checked_sub(top).and_then(|y| rows.get(y));
                let column = x.checked_sub(left).and_then(|x| columns.get(x));
                let value = match (row, column) {
                    (Some(row), Some(column)) => alone(family, &image, column, row, channel),
                    _ => fill(family),
                };
                value.to_bits()
            })
            .collect();
        for instructions in Instructions::available() {
            let mut pixels = vec![f32::NAN; 3 * height * width];
            let picture = PictureMut::new(&mut pixels, 3 * width, (height, width));
            with(instructions, family, &image, picture);
            for (index, (found, expected)) in pixels.iter().zip(&expected).enumerate() {
                prop_assert_eq!(found.to_bits(), *expected, "{:?}, value {}", instructions, index);
            }
        }
    }

    /// Within what single precision leaves of eight bits.
    #[test]
    fn every_pixel_is_bilinear(
        size in (sides(), sides()),
        input in (1..4usize, 1..4usize),
        seed in any::<u32>(),
    ) {
        let image = noise(size, seed);
        let (height, width) = (32 * input.0, 32 * input.1);
        let mut planes = vec![0.0; 3 * height * width];
        planar(Family::Yolov3Resnet18, &image, height, width, &mut planes);
        let scaled = scaled_size(Family::Yolov3Resnet18, size, height, width);
        let (left, top) = ((width - scaled.0) / 2, (height - scaled.1) / 2);
        for channel in 0..3 {
            for y in 0..height {
                for x in 0..width {
                    let found = f64::from(planes[(channel * height + y) * width + x]);
                    let inside = (left..left + scaled.0).contains(&x) && (top..top + scaled.1).contains(&y);
                    let expected =
                        if inside { naive(&image, scaled, x - left, y - top, channel) } else { 128.0 / 255.0 };
                    prop_assert!((found - expected).abs() < 4e-7, "{x} {y} {channel}: {found} {expected}");
                }
            }
        }
    }
}
