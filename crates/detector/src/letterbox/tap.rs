//! Which pixels of a picture a scaled pixel is made of, on one axis, as each family's original has it.

use crate::Family;

/// The two source pixels that an output pixel's centre lies between, on one axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tap {
    pub(super) first: usize,
    pub(super) second: usize,
    /// Their shares.
    pub(super) weights: [f32; 2],
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

/// The taps of columns and of rows for a picture of `image` pixels that becomes one of `scaled` (width, height).
pub(super) fn taps(family: Family, image: (u32, u32), scaled: (usize, usize)) -> (Vec<Tap>, Vec<Tap>) {
    let (width, height) = (image.0 as usize, image.1 as usize);
    match family {
        Family::Yolov3Resnet18 | Family::Yolov3Darknet53 => {
            let exact = |place| place;
            (column_taps(width, scaled.0, exact), row_taps(height, scaled.1, exact))
        }
        Family::Yolov3Darknet => (outer_taps(width, scaled.0), outer_taps(height, scaled.1)),
        Family::Yolov5 | Family::Yolov8 => {
            let single = |place| f64::from(place as f32);
            (whole(column_taps(width, scaled.0, single)), whole(row_taps(height, scaled.1, single)))
        }
    }
}

/// Where OpenCV takes the pixels of an axis from, of `source` that `target` show: the pixel before each place, which may
/// be -1, and the share of the one after it. Centres lie at half pixels.
///
/// `rounded` is what becomes of places before they are split: OpenCV's own code keeps them in `f32`. For pixels in `f32` its
/// builds for x86-64 call Intel's library (IPP), which keeps them exact; without it (on ARM) a pixel of a wide picture differs
/// by up to 0.02 of 255.
fn places(source: usize, target: usize, rounded: fn(f64) -> f64) -> impl Iterator<Item = (isize, f32)> {
    let step = 1.0 / (target as f64 / source as f64);
    (0..target).map(move |position| {
        let centre = rounded((position as f64 + 0.5) * step - 0.5);
        let floor = centre.floor();
        (floor as isize, (centre - floor) as f32)
    })
}

/// OpenCV's columns: beyond the borders one pixel counts alone.
fn column_taps(source: usize, target: usize, rounded: fn(f64) -> f64) -> Vec<Tap> {
    let tap = |(before, share): (isize, f32)| match usize::try_from(before) {
        Err(_) => Tap::of(0),
        Ok(first) if first + 1 >= source => Tap::of(source - 1),
        Ok(first) => Tap::new(first, first + 1, share),
    };
    places(source, target, rounded).map(tap).collect()
}

/// OpenCV's rows: beyond the borders one row counts twice, each time with its share, which whole numbers tell from once.
fn row_taps(source: usize, target: usize, rounded: fn(f64) -> f64) -> Vec<Tap> {
    let row = |row: isize| usize::try_from(row).unwrap_or(0).min(source - 1);
    places(source, target, rounded)
        .map(|(before, share)| Tap::new(row(before), row(before + 1), share))
        .collect()
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
