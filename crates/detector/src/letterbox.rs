//! A picture of any size to the network's input.
//!
//! Sedna's helmet example and tensorflow-yolov3 scale with OpenCV's `resize` (`INTER_LINEAR`, on `f32`) to a size cut
//! down to whole pixels, and paste that centred on grey. Darknet (`letterbox_image`) computes the size in whole
//! numbers, takes the outermost pixels of the picture for those of the scaled one, and has another grey. Ultralytics'
//! prediction rounds the size, scales 8-bit pixels to 8-bit pixels with OpenCV, and has a third grey.

use image::RgbImage;

use crate::Family;
use crate::executor::PictureMut;

/// Grey around the picture, in `0..=1`.
fn fill(family: Family) -> f32 {
    match family {
        Family::Yolov3Resnet18 | Family::Yolov3Darknet53 => 128.0 / 255.0,
        Family::Yolov3Darknet => 0.5,
        Family::Yolov5 | Family::Yolov8 => 114.0 / 255.0,
    }
}

/// Width and height of the scaled picture, in whole pixels.
///
/// For Sedna's two families the product is cut, not rounded: 1280x720 for an input of 736x416 becomes 736x413, because
/// `720 * 0.575` is `413.99…` in `f64`.
pub(crate) fn scaled_size(family: Family, image: (u32, u32), height: usize, width: usize) -> (usize, usize) {
    if family == Family::Yolov3Darknet {
        let (columns, rows) = (u64::from(image.0), u64::from(image.1));
        // An input has at most 2048 pixels a side: no product overflows, and no quotient exceeds it.
        let (width, height) = (width as u64, height as u64);
        let (scaled_width, scaled_height) = if width * rows < height * columns {
            (width, rows * width / columns)
        } else {
            (columns * height / rows, height)
        };
        return (scaled_width.max(1) as usize, scaled_height.max(1) as usize);
    }
    let (image_width, image_height) = (f64::from(image.0), f64::from(image.1));
    let scale = (width as f64 / image_width).min(height as f64 / image_height);
    let whole = |side: f64| match family {
        // As Python rounds.
        Family::Yolov5 | Family::Yolov8 => side.round_ties_even(),
        _ => side,
    };
    let (scaled_width, scaled_height) = (whole(image_width * scale), whole(image_height * scale));
    // A side of a very long picture would vanish.
    ((scaled_width as usize).clamp(1, width), (scaled_height as usize).clamp(1, height))
}

/// Pixels before the scaled picture, on an axis of `input` pixels of which it takes `scaled`.
///
/// An odd pixel goes after it, in Ultralytics' prediction (`round(half - 0.1)`) as in the others.
pub(crate) fn padding(input: usize, scaled: usize) -> usize {
    (input - scaled) / 2
}

/// Scales `image`, which has pixels, into `picture`.
pub(crate) fn letterbox(family: Family, image: &RgbImage, mut picture: PictureMut<'_>) {
    let (height, width) = picture.size();
    let (scaled_width, scaled_height) = scaled_size(family, image.dimensions(), height, width);
    let fill = fill(family);
    let (left, top) = (padding(width, scaled_width), padding(height, scaled_height));
    let (columns, rows) = taps(family, image.dimensions(), (scaled_width, scaled_height));
    let blend = match family {
        Family::Yolov5 | Family::Yolov8 => whole_blend,
        _ => blend,
    };
    let pixels = image.as_raw();
    let row_length = image.width() as usize * 3;
    // The two source rows that an output row lies between, scaled across; the next output row often shares one.
    let mut scaled = [Scaled::new(scaled_width), Scaled::new(scaled_width)];
    for (y, target) in picture.rows().enumerate() {
        let Some(row) = y.checked_sub(top).and_then(|y| rows.get(y)) else {
            target.fill(fill);
            continue;
        };
        if scaled[0].source != Some(row.first) {
            scaled.swap(0, 1);
        }
        for (scaled, source) in scaled.iter_mut().zip([row.first, row.second]) {
            if scaled.source != Some(source) {
                scaled.fill(source, &pixels[source * row_length..][..row_length], &columns);
            }
        }
        let [first, second] = &scaled;
        let (before, rest) = target.split_at_mut(3 * left);
        let (pixels, after) = rest.split_at_mut(3 * scaled_width);
        before.fill(fill);
        after.fill(fill);
        for (target, (first, second)) in pixels.iter_mut().zip(first.values.iter().zip(&second.values)) {
            *target = blend(*first, *second, row.weights) / 255.0;
        }
    }
}

/// The two source pixels that an output pixel's centre lies between, on one axis.
#[derive(Debug, Clone, Copy)]
struct Tap {
    first: usize,
    second: usize,
    /// Their shares.
    weights: [f32; 2],
}

impl Tap {
    fn new(first: usize, second: usize, share_of_second: f32) -> Self {
        Self { first, second, weights: [1.0 - share_of_second, share_of_second] }
    }

    /// One source pixel.
    fn of(pixel: usize) -> Self {
        Self::new(pixel, pixel, 0.0)
    }
}

/// Two rows' values with the shares of the rows.
fn blend(first: f32, second: f32, [of_first, of_second]: [f32; 2]) -> f32 {
    first * of_first + second * of_second
}

/// The same in whole numbers, as OpenCV does it for 8-bit pixels (`resize`): shares and sums in 2048ths, rounded at the end.
fn whole_blend(first: f32, second: f32, shares: [f32; 2]) -> f32 {
    // Whole numbers far below 2^24, which `f32` holds exactly.
    let part = |value: f32, share: f32| (share as i32 * (value as i32 >> 4)) >> 16;
    ((part(first, shares[0]) + part(second, shares[1]) + 2) >> 2) as f32
}

/// The taps of columns and of rows for a picture of `image` pixels that becomes one of `scaled` (width, height).
fn taps(family: Family, image: (u32, u32), scaled: (usize, usize)) -> (Vec<Tap>, Vec<Tap>) {
    let (width, height) = (image.0 as usize, image.1 as usize);
    match family {
        Family::Yolov3Resnet18 | Family::Yolov3Darknet53 => {
            (column_taps(width, scaled.0), row_taps(height, scaled.1))
        }
        Family::Yolov3Darknet => (outer_taps(width, scaled.0), outer_taps(height, scaled.1)),
        Family::Yolov5 | Family::Yolov8 => {
            (whole(column_taps(width, scaled.0)), whole(row_taps(height, scaled.1)))
        }
    }
}

/// Where OpenCV takes the pixels of an axis from, of `source` that `target` show: the pixel before each place, which may
/// be -1, and the share of the one after it. Centres lie at half pixels; places are in `f64`, rounded once to `f32`.
fn places(source: usize, target: usize) -> impl Iterator<Item = (isize, f32)> {
    let step = 1.0 / (target as f64 / source as f64);
    (0..target).map(move |position| {
        let centre = ((position as f64 + 0.5) * step - 0.5) as f32;
        let floor = centre.floor();
        (floor as isize, centre - floor)
    })
}

/// OpenCV's columns: beyond the borders one pixel counts alone.
fn column_taps(source: usize, target: usize) -> Vec<Tap> {
    let tap = |(before, share): (isize, f32)| match usize::try_from(before) {
        Err(_) => Tap::of(0),
        Ok(first) if first + 1 >= source => Tap::of(source - 1),
        Ok(first) => Tap::new(first, first + 1, share),
    };
    places(source, target).map(tap).collect()
}

/// OpenCV's rows: beyond the borders one row counts twice, each time with its share, which whole numbers tell from once.
fn row_taps(source: usize, target: usize) -> Vec<Tap> {
    let row = |row: isize| usize::try_from(row).unwrap_or(0).min(source - 1);
    places(source, target).map(|(before, share)| Tap::new(row(before), row(before + 1), share)).collect()
}

/// Shares in whole 2048ths.
fn whole(mut taps: Vec<Tap>) -> Vec<Tap> {
    for tap in &mut taps {
        tap.weights = tap.weights.map(|share| (share * 2048.0).round_ties_even());
    }
    taps
}

/// The taps of an axis as Darknet computes them: the first and last pixels of both meet.
fn outer_taps(source: usize, target: usize) -> Vec<Tap> {
    let step = (source - 1) as f32 / (target - 1) as f32;
    (0..target)
        .map(|position| {
            let last = Tap::of(source - 1);
            if position + 1 == target {
                return last;
            }
            let place = position as f32 * step;
            let first = place as usize;
            if first + 1 >= source { last } else { Tap::new(first, first + 1, place.fract()) }
        })
        .collect()
}

/// One source row scaled across.
#[derive(Debug)]
struct Scaled {
    source: Option<usize>,
    values: Vec<f32>,
}

impl Scaled {
    fn new(width: usize) -> Self {
        Self { source: None, values: vec![0.0; 3 * width] }
    }

    fn fill(&mut self, source: usize, row: &[u8], columns: &[Tap]) {
        self.source = Some(source);
        for (values, tap) in self.values.chunks_exact_mut(3).zip(columns) {
            for (channel, value) in values.iter_mut().enumerate() {
                let at = |pixel: usize| f32::from(row[3 * pixel + channel]);
                *value = blend(at(tap.first), at(tap.second), tap.weights);
            }
        }
    }
}

#[cfg(test)]
mod tests;
