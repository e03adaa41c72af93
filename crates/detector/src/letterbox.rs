//! A picture of any size to the network's input.
//!
//! Sedna's helmet example and tensorflow-yolov3 scale with OpenCV's `resize` (`INTER_LINEAR`, on `f32`) to a size cut
//! down to whole pixels, and paste that centred on grey. Darknet (`letterbox_image`) computes the size in whole
//! numbers, takes the outermost pixels of the picture for those of the scaled one, and has another grey. Ultralytics'
//! prediction rounds the size, scales 8-bit pixels to 8-bit pixels with OpenCV, and has a third grey.

mod scaled;
mod source;
mod tap;
#[cfg(test)]
mod tests;
mod vector;

use image::RgbImage;

use crate::Family;
use crate::executor::PictureMut;
use scaled::{Columns, Scaled, Value};
use source::Source;
use tap::taps;
use vector::{Across, Instructions};

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
pub(crate) fn letterbox(family: Family, image: &RgbImage, picture: PictureMut<'_>) {
    with(Instructions::best(), family, image, picture);
}

fn with(instructions: Instructions, family: Family, image: &RgbImage, picture: PictureMut<'_>) {
    match family {
        Family::Yolov5 | Family::Yolov8 => fit::<i16>(instructions, family, image, picture),
        _ => fit::<f32>(instructions, family, image, picture),
    }
}

fn fit<V: Value>(instructions: Instructions, family: Family, image: &RgbImage, mut picture: PictureMut<'_>) {
    let (height, width) = picture.size();
    let (scaled_width, scaled_height) = scaled_size(family, image.dimensions(), height, width);
    let fill = fill(family);
    let (left, top) = (padding(width, scaled_width), padding(height, scaled_height));
    let (columns, rows) = taps(family, image.dimensions(), (scaled_width, scaled_height));
    let columns = Columns::new(&columns);
    let mut across = Across::new(instructions, &columns);
    let mut source = Source::new(image);
    // The two source rows that an output row lies between, scaled across; the next output row often shares one.
    let mut scaled = [Scaled::<V>::new(scaled_width), Scaled::<V>::new(scaled_width)];
    picture.each_row(|y, target| {
        let Some(row) = y.checked_sub(top).and_then(|y| rows.get(y)) else {
            target.fill(fill);
            return;
        };
        if !scaled[0].is_of(row.first) {
            scaled.swap(0, 1);
        }
        for (scaled, number) in scaled.iter_mut().zip([row.first, row.second]) {
            if !scaled.is_of(number) {
                scaled.fill(number, source.row(number), &mut across);
            }
        }
        let (before, rest) = target.split_at_mut(3 * left);
        let (pixels, after) = rest.split_at_mut(3 * scaled_width);
        before.fill(fill);
        after.fill(fill);
        instructions.blend(scaled[0].values(), scaled[1].values(), row.weights, pixels);
    });
}
