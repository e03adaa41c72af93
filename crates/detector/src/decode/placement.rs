//! How a picture lies in the network's input.

use protocol::BoundingBox;

use crate::Family;
use crate::letterbox;

/// How a picture lies in the network's input.
#[derive(Debug)]
pub(super) struct Placement {
    family: Family,
    /// Width and height of the input.
    input: [f32; 2],
    /// Width and height of the picture.
    picture: [f32; 2],
    /// Input pixels a picture pixel.
    scale: f32,
    /// Width and height of the scaled picture, as the family takes them to be.
    scaled: [f32; 2],
}

impl Placement {
    pub(super) fn new(
        family: Family,
        (input_height, input_width): (usize, usize),
        width: u32,
        height: u32,
    ) -> Self {
        let input = [input_width as f32, input_height as f32];
        let picture = [width as f32, height as f32];
        let scale = (input[0] / picture[0]).min(input[1] / picture[1]);
        let scaled = match family {
            // Rounded half to even as TensorFlow does (the letterbox cuts instead; the difference of up to a pixel is
            // part of the form).
            Family::Yolov3Resnet18 => picture.map(|side| (side * scale).round_ties_even().max(1.0)),
            Family::Yolov3Darknet53 => picture.map(|side| side * scale),
            Family::Yolov3Darknet | Family::Yolov5 | Family::Yolov8 => {
                let (width, height) =
                    letterbox::scaled_size(family, (width, height), input_height, input_width);
                [width as f32, height as f32]
            }
        };
        Self { family, input, picture, scale, scaled }
    }

    /// A box of the input, by centre and size, in the picture's pixels; none if it is not finite, or nothing
    /// of it lies inside the picture where the family clips before boxes are chosen.
    pub(super) fn original(&self, centre: [f32; 2], size: [f32; 2]) -> Option<BoundingBox> {
        let axis = |axis: usize| match self.family {
            Family::Yolov3Resnet18 | Family::Yolov3Darknet => self.whole(axis, centre[axis], size[axis]),
            Family::Yolov3Darknet53 => self.clipped(axis, centre[axis], size[axis]),
            Family::Yolov5 | Family::Yolov8 => self.shifted(axis, centre[axis], size[axis]),
        };
        let (x_min, x_max) = axis(0)?;
        let (y_min, y_max) = axis(1)?;
        Some(BoundingBox { x_min, y_min, x_max, y_max })
    }

    /// What a chosen box becomes: but for Sedna's two, families clip it to the picture now. What is then empty is
    /// dropped.
    pub(super) fn visible(&self, bbox: BoundingBox) -> Option<BoundingBox> {
        if matches!(self.family, Family::Yolov3Resnet18 | Family::Yolov3Darknet53) {
            return Some(bbox);
        }
        let [width, height] = self.picture;
        let bbox = BoundingBox {
            x_min: bbox.x_min.max(0.0),
            y_min: bbox.y_min.max(0.0),
            x_max: bbox.x_max.min(width),
            y_max: bbox.y_max.min(height),
        };
        (bbox.x_min < bbox.x_max && bbox.y_min < bbox.y_max).then_some(bbox)
    }

    /// ResNet-18 and Darknet: the scaled picture has whole pixels. Nothing is clipped.
    fn whole(&self, axis: usize, centre: f32, size: f32) -> Option<(f32, f32)> {
        let (input, picture, scaled) = (self.input[axis], self.picture[axis], self.scaled[axis]);
        let (offset, factor) = ((input - scaled) / 2.0 / input, input / scaled);
        let (centre, size) = ((centre / input - offset) * factor, size / input * factor);
        let (min, max) = ((centre - size / 2.0) * picture, (centre + size / 2.0) * picture);
        (min.is_finite() && max.is_finite()).then_some((min, max))
    }

    /// YOLOv5 and YOLOv8: padding of whole pixels, one scale for both axes. Nothing is clipped.
    fn shifted(&self, axis: usize, centre: f32, size: f32) -> Option<(f32, f32)> {
        let padding = letterbox::padding(self.input[axis] as usize, self.scaled[axis] as usize) as f32;
        let original = |edge: f32| (edge - padding) / self.scale;
        let (min, max) = (original(centre - size / 2.0), original(centre + size / 2.0));
        (min.is_finite() && max.is_finite()).then_some((min, max))
    }

    /// Darknet-53: padding in fractions of a pixel, and clipped to the picture's first and last pixel. What is
    /// then empty is dropped, as in tensorflow-yolov3 (Sedna keeps it as a box of zeros).
    fn clipped(&self, axis: usize, centre: f32, size: f32) -> Option<(f32, f32)> {
        let picture = self.picture[axis];
        let padding = (self.input[axis] - self.scaled[axis]) / 2.0;
        let original = |edge: f32| (edge - padding) / self.scale;
        let (min, max) = (original(centre - size / 2.0), original(centre + size / 2.0));
        if !(min.is_finite() && max.is_finite()) {
            return None;
        }
        let (min, max) = (min.max(0.0), max.min(picture - 1.0));
        (min < max).then_some((min, max))
    }
}
