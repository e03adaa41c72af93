//! A picture of any size to the network's input.
//!
//! Sedna's helmet example and tensorflow-yolov3 scale with OpenCV's `resize` (`INTER_LINEAR`, on `f32`) to a size cut
//! down to whole pixels, and paste that centred on grey. Darknet (`letterbox_image`) computes the size in whole
//! numbers, takes the outermost pixels of the picture for those of the scaled one, and has another grey.

use image::RgbImage;

use crate::Family;
use crate::executor::PictureMut;

/// Grey around the picture, in `0..=1`.
fn fill(family: Family) -> f32 {
    match family {
        Family::Yolov3Resnet18 | Family::Yolov3Darknet53 => 128.0 / 255.0,
        Family::Yolov3Darknet => 0.5,
    }
}

/// Width and height of the scaled picture, in whole pixels.
///
/// But for Darknet the product is cut, not rounded: 1280x720 for an input of 736x416 becomes 736x413, because
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
    // A side of a very long picture would vanish.
    (((image_width * scale) as usize).clamp(1, width), ((image_height * scale) as usize).clamp(1, height))
}

/// Scales `image`, which has pixels, into `picture`.
pub(crate) fn letterbox(family: Family, image: &RgbImage, mut picture: PictureMut<'_>) {
    let (height, width) = picture.size();
    let (scaled_width, scaled_height) = scaled_size(family, image.dimensions(), height, width);
    let fill = fill(family);
    let (left, top) = ((width - scaled_width) / 2, (height - scaled_height) / 2);
    let taps = match family {
        Family::Yolov3Resnet18 | Family::Yolov3Darknet53 => taps,
        Family::Yolov3Darknet => outer_taps,
    };
    let columns = taps(image.width() as usize, scaled_width);
    let rows = taps(image.height() as usize, scaled_height);
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
            *target = (first * (1.0 - row.weight) + second * row.weight) / 255.0;
        }
    }
}

/// The two source pixels that an output pixel's centre lies between, on one axis.
#[derive(Debug, Clone, Copy)]
struct Tap {
    first: usize,
    second: usize,
    /// The second's share.
    weight: f32,
}

/// The taps of an axis of `target` pixels that shows `source` ones, as OpenCV computes them: centres at half
/// pixels, borders repeated, positions in `f64` rounded once to `f32`.
fn taps(source: usize, target: usize) -> Vec<Tap> {
    let step = 1.0 / (target as f64 / source as f64);
    (0..target)
        .map(|position| {
            let centre = ((position as f64 + 0.5) * step - 0.5) as f32;
            let floor = centre.floor();
            if floor < 0.0 {
                return Tap { first: 0, second: 0, weight: 0.0 };
            }
            let first = floor as usize;
            if first + 1 >= source {
                return Tap { first: source - 1, second: source - 1, weight: 0.0 };
            }
            Tap { first, second: first + 1, weight: centre - floor }
        })
        .collect()
}

/// The taps of an axis as Darknet computes them: the first and last pixels of both meet.
fn outer_taps(source: usize, target: usize) -> Vec<Tap> {
    let step = (source - 1) as f32 / (target - 1) as f32;
    (0..target)
        .map(|position| {
            let last = Tap { first: source - 1, second: source - 1, weight: 0.0 };
            if position + 1 == target {
                return last;
            }
            let place = position as f32 * step;
            let first = place as usize;
            if first + 1 >= source { last } else { Tap { first, second: first + 1, weight: place.fract() } }
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
                *value = at(tap.first) * (1.0 - tap.weight) + at(tap.second) * tap.weight;
            }
        }
    }
}

#[cfg(test)]
mod tests;
