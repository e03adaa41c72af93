//! Detections drawn into a copy of the picture: boxes, labels and, where wanted, a caption below.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use protocol::Detection;

/// Colours that stay apart for colour-blind eyes (Okabe and Ito, "Color Universal Design", 2008), ordered so that
/// neighbours among the first classes differ most.
const CLASS_COLOURS: [Rgb<u8>; 7] = [
    Rgb([86, 180, 233]),  // sky blue
    Rgb([240, 228, 66]),  // yellow
    Rgb([0, 158, 115]),   // bluish green
    Rgb([213, 94, 0]),    // vermilion
    Rgb([204, 121, 167]), // reddish purple
    Rgb([0, 114, 178]),   // blue
    Rgb([230, 159, 0]),   // orange
];
const BLACK: Rgb<u8> = Rgb([16, 16, 16]);
const WHITE: Rgb<u8> = Rgb([245, 245, 245]);

const FONT: RasterHeight = RasterHeight::Size16;
const LINE: i64 = 2;
/// Between a text and the border of what it stands on.
const PADDING: i64 = 4;
/// Height of a label, and of the caption strip below the picture.
const LABEL_HEIGHT: i64 = 18;
const CAPTION_HEIGHT: u32 = 24;

/// What stands below a picture.
#[derive(Debug)]
pub struct Caption {
    /// A word in front of the text.
    pub mark: &'static str,
    /// What the mark stands on.
    pub colour: Rgb<u8>,
    /// The text; what does not fit is cut off.
    pub text: String,
}

/// `image` with `detections` drawn in and, if there is one, the caption in a strip of 24 pixels below, which hides
/// nothing of the picture.
pub fn annotated(image: &RgbImage, detections: &[Detection], caption: Option<&Caption>) -> RgbImage {
    let (width, height) = image.dimensions();
    let strip = if caption.is_some() { CAPTION_HEIGHT } else { 0 };
    let mut pixels = image.as_raw().clone();
    pixels.resize(pixels.len() + (width * strip * 3) as usize, BLACK.0[0]);
    let Some(canvas) = RgbImage::from_raw(width, height + strip, pixels) else {
        return image.clone();
    };
    let mut canvas = Canvas { image: canvas, bottom: i64::from(height), labels: Vec::new() };
    // Lines first, so that no box runs through a label; the surest last, so that it lies on top.
    for detection in detections.iter().rev() {
        canvas.outline(detection);
    }
    for detection in detections {
        canvas.label(detection);
    }
    if let Some(caption) = caption {
        canvas.caption(caption);
    }
    canvas.image
}

struct Canvas {
    image: RgbImage,
    /// Where the picture ends and the caption begins.
    bottom: i64,
    /// Where labels stand already.
    labels: Vec<[i64; 4]>,
}

impl Canvas {
    fn outline(&mut self, detection: &Detection) {
        let [left, top, right, bottom] = corners(detection);
        let colour = colour(detection);
        self.fill([left, top, right, top + LINE], colour);
        self.fill([left, bottom - LINE, right, bottom], colour);
        self.fill([left, top, left + LINE, bottom], colour);
        self.fill([right - LINE, top, right, bottom], colour);
    }

    /// A filled tab on the box; where another label stands, below or beside the box instead.
    fn label(&mut self, detection: &Detection) {
        let [left, top, right, bottom] = corners(detection);
        let text = format!("{} {:.2}", detection.class, detection.score);
        let (width, height) = (text_width(&text) + 2 * PADDING, LABEL_HEIGHT);
        let within = |left: i64, top: i64| {
            let left = left.min(i64::from(self.image.width()) - width).max(0);
            let top = top.min(self.bottom - height).max(0);
            [left, top, left + width, top + height]
        };
        let places = [(left, top - height), (left, bottom), (right, top), (left - width, top), (left, top)];
        let free = |place: &[i64; 4]| !self.labels.iter().any(|label| overlap(label, place));
        let place = places.map(|(left, top)| within(left, top)).into_iter().find(free);
        let place = place.unwrap_or_else(|| within(left, top - height));
        let ground = colour(detection);
        self.fill(place, ground);
        self.text(&text, place[0] + PADDING, place[1] + 1, readable_on(ground), self.bottom);
        self.labels.push(place);
    }

    fn caption(&mut self, caption: &Caption) {
        let Caption { mark: name, colour, text } = caption;
        let (top, end) = (self.bottom, i64::from(self.image.height()));
        self.bottom = end;
        let mark = text_width(name) + 2 * PADDING;
        self.fill([0, top, mark, end], *colour);
        self.text(name, PADDING, top + 4, readable_on(*colour), end);
        self.text(text, mark + 2 * PADDING, top + 4, WHITE, end);
    }

    /// Fills `[left, top, right, bottom]` as far as it lies in the picture.
    fn fill(&mut self, [left, top, right, bottom]: [i64; 4], colour: Rgb<u8>) {
        for y in top.max(0)..bottom.min(self.bottom) {
            for x in left.max(0)..right.min(i64::from(self.image.width())) {
                self.image.put_pixel(x as u32, y as u32, colour);
            }
        }
    }

    /// Writes `text` with its upper left corner at (`left`, `top`), blended by the font's coverage.
    fn text(&mut self, text: &str, left: i64, top: i64, colour: Rgb<u8>, end: i64) {
        let mut pen = left;
        for character in text.chars() {
            // The font has no other letters than those of Latin script.
            let Some(glyph) = [character, '?'].iter().find_map(|&c| get_raster(c, FontWeight::Bold, FONT))
            else {
                continue;
            };
            for (row, coverages) in glyph.rows().enumerate() {
                for (column, coverage) in coverages.iter().enumerate() {
                    let (x, y) = (pen + column as i64, top + row as i64);
                    if *coverage > 0
                        && (0..i64::from(self.image.width())).contains(&x)
                        && (0..end).contains(&y)
                    {
                        blend(self.image.get_pixel_mut(x as u32, y as u32), colour, *coverage);
                    }
                }
            }
            pen += glyph.width() as i64;
        }
    }
}

fn overlap(one: &[i64; 4], other: &[i64; 4]) -> bool {
    one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3]
}

fn blend(pixel: &mut Rgb<u8>, colour: Rgb<u8>, coverage: u8) {
    let share = u32::from(coverage);
    for (below, above) in pixel.0.iter_mut().zip(colour.0) {
        *below = ((u32::from(*below) * (255 - share) + u32::from(above) * share) / 255) as u8;
    }
}

/// Left, top, right, bottom in whole pixels; `as` saturates, so that no box is too large.
fn corners(detection: &Detection) -> [i64; 4] {
    let bbox = &detection.bbox;
    // Far outside is outside: sums must not overflow.
    [bbox.x_min, bbox.y_min, bbox.x_max, bbox.y_max].map(|edge| edge.round().clamp(-1e6, 1e6) as i64)
}

fn text_width(text: &str) -> i64 {
    (text.chars().count() * get_raster_width(FontWeight::Bold, FONT)) as i64
}

fn colour(detection: &Detection) -> Rgb<u8> {
    CLASS_COLOURS[detection.class_id as usize % CLASS_COLOURS.len()]
}

/// Black or white, whichever stands out more (luma of ITU-R BT.601).
fn readable_on(Rgb([red, green, blue]): Rgb<u8>) -> Rgb<u8> {
    let luma = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    if luma > 110_000 { BLACK } else { WHITE }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::BoundingBox;

    use super::*;

    fn detection(class_id: u32, [x_min, y_min, x_max, y_max]: [f32; 4]) -> Detection {
        Detection {
            class: "helmet_on".into(),
            class_id,
            score: 0.875,
            bbox: BoundingBox { x_min, y_min, x_max, y_max },
        }
    }

    fn caption() -> Caption {
        Caption { mark: "EDGE", colour: Rgb([230, 159, 0]), text: "frame 1".into() }
    }

    #[test]
    fn the_box_is_drawn_where_it_is() {
        let grey = RgbImage::from_pixel(320, 200, Rgb([100; 3]));
        let drawn = annotated(&grey, &[detection(0, [40.0, 60.0, 140.0, 160.0])], None);
        assert_eq!(drawn.dimensions(), (320, 200));
        let blue = CLASS_COLOURS[0];
        for (x, y) in [(40, 100), (41, 100), (138, 100), (139, 100), (90, 60), (90, 159)] {
            assert_eq!(*drawn.get_pixel(x, y), blue, "({x}, {y})");
        }
        for (x, y) in [(39, 100), (42, 100), (140, 100), (90, 62), (90, 160), (90, 100)] {
            assert_eq!(*drawn.get_pixel(x, y), Rgb([100; 3]), "({x}, {y})");
        }
        // The label stands on the box, with dark letters.
        assert_eq!(*drawn.get_pixel(41, 43), blue);
        assert!((42..120).any(|x| (42..60).any(|y| drawn.get_pixel(x, y).0[2] < 60)));
    }

    #[test]
    fn labels_do_not_cover_each_other() {
        let grey = RgbImage::from_pixel(320, 200, Rgb([100; 3]));
        let same = [40.0, 60.0, 140.0, 160.0];
        let drawn = annotated(&grey, &[detection(0, same), detection(1, same)], None);
        assert_eq!(*drawn.get_pixel(41, 43), CLASS_COLOURS[0]);
        assert_eq!(*drawn.get_pixel(41, 161), CLASS_COLOURS[1]);
    }

    #[test]
    fn the_caption_is_below() {
        let grey = RgbImage::from_pixel(320, 200, Rgb([100; 3]));
        let drawn = annotated(&grey, &[], Some(&caption()));
        assert_eq!(drawn.dimensions(), (320, 224));
        assert_eq!(*drawn.get_pixel(1, 222), caption().colour);
        assert_eq!(*drawn.get_pixel(1, 199), Rgb([100; 3]));
    }

    proptest! {
        #[test]
        fn no_box_is_out_of_bounds(
            corners in prop::array::uniform4(prop_oneof![
                -50.0f32..150.0, Just(f32::NAN), Just(f32::INFINITY), Just(f32::MIN), Just(f32::MAX),
            ]),
            class_id in any::<u32>(),
            width in 1u32..100,
            height in 1u32..60,
        ) {
            let drawn = annotated(&RgbImage::new(width, height), &[detection(class_id, corners)], Some(&caption()));
            prop_assert_eq!(drawn.dimensions(), (width, height + CAPTION_HEIGHT));
        }
    }
}
