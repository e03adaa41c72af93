//! YUV4MPEG2, "Y4M": uncompressed pictures one after the other, as mjpegtools and ffmpeg write them (`man yuv4mpeg`).

use std::io::{self, BufRead, Read};

use anyhow::{Context, Result, bail, ensure};
use image::{Rgb, RgbImage};

/// How a stream begins.
pub(super) const MAGIC: &[u8] = b"YUV4MPEG2 ";
/// How each picture begins.
const FRAME: &[u8] = b"FRAME";
/// Longest line.
const MAX_LINE: u64 = 4096;

/// A stream, picture by picture.
#[derive(Debug)]
pub(super) struct Y4m<R> {
    input: R,
    width: u32,
    height: u32,
    /// Pictures, and the seconds that they take; none if the stream does not say.
    rate: Option<(f64, f64)>,
    chroma: Chroma,
    /// Luminance from 0 to 255 instead of 16 to 235.
    full_range: bool,
    /// A picture as it lies in the stream.
    planes: Vec<u8>,
    /// Pictures read so far.
    read: u64,
}

/// How the two planes of colour are sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chroma {
    None,
    /// A value for so many columns and rows.
    Every(u32, u32),
}

impl<R: BufRead> Y4m<R> {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// If this is no Y4M, of a kind that is not read, or its pictures have more than `max_pixels`.
    pub(super) fn new(mut input: R, max_pixels: u64) -> Result<Self> {
        let line = line(&mut input)?.context("it is empty")?;
        let fields = line.strip_prefix(MAGIC).context("it is no Y4M: it does not begin with YUV4MPEG2")?;
        let fields = std::str::from_utf8(fields).context("a header that is not text")?;
        let (mut width, mut height, mut rate) = (0, 0, None);
        let (mut chroma, mut full_range) = (Chroma::Every(2, 2), false);
        for field in fields.split_ascii_whitespace() {
            let (tag, value) = field.split_at_checked(1).context("a header field that is not text")?;
            match tag {
                "W" => width = value.parse().with_context(|| format!("the width {value:?}"))?,
                "H" => height = value.parse().with_context(|| format!("the height {value:?}"))?,
                "F" => rate = parse_rate(value),
                "C" => chroma = parse_chroma(value)?,
                "X" => full_range |= value == "COLORRANGE=FULL",
                _ => {}
            }
        }
        ensure!(width > 0 && height > 0, "a header without width and height");
        let pixels = u64::from(width) * u64::from(height);
        ensure!(
            pixels <= max_pixels,
            "its pictures have {width}x{height} pixels, more than the {max_pixels} allowed; raise --max-pixels"
        );
        let (columns, rows) = chroma.size(width, height);
        let length = pixels + 2 * u64::from(columns) * u64::from(rows);
        let planes = vec![0; usize::try_from(length)?];
        Ok(Self { input, width, height, rate, chroma, full_range, planes, read: 0 })
    }

    /// Goes on to the next picture, at first to the first; false at the end.
    ///
    /// # Errors
    ///
    /// If the stream cannot be read, or ends inside a picture.
    pub(super) fn advance(&mut self) -> Result<bool> {
        let frame = self.read;
        let Some(line) = line(&mut self.input).with_context(|| format!("frame {frame}"))? else {
            return Ok(false);
        };
        ensure!(
            line == FRAME || line.strip_prefix(FRAME).is_some_and(|rest| rest[0] == b' '),
            "frame {frame} does not begin with FRAME: the file is damaged"
        );
        match self.input.read_exact(&mut self.planes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                bail!("frame {frame} is cut short")
            }
            result => result.with_context(|| format!("frame {frame}"))?,
        }
        self.read += 1;
        Ok(true)
    }

    /// The number of the picture that it is at, from 0.
    pub(super) fn frame(&self) -> u64 {
        self.read.saturating_sub(1)
    }

    /// Seconds from the first picture to that one.
    pub(super) fn time_s(&self) -> Option<f64> {
        self.rate.map(|(pictures, seconds)| self.frame() as f64 * seconds / pictures)
    }

    /// The picture that it is at.
    ///
    /// The matrix is that of BT.601, which is what Y4M has where nothing else is agreed; a value of colour stands for all
    /// of its pixels.
    pub(super) fn picture(&self) -> RgbImage {
        let (luminance, colour) = self.planes.split_at(self.width as usize * self.height as usize);
        let (columns, rows) = self.chroma.size(self.width, self.height);
        let (blue, red) = colour.split_at(columns as usize * rows as usize);
        let (black, scale, of_colour) =
            if self.full_range { (0.0, 1.0, 1.0) } else { (16.0, 255.0 / 219.0, 255.0 / 224.0) };
        RgbImage::from_fn(self.width, self.height, |x, y| {
            let at = |plane: &[u8], x: u32, y: u32, width: u32| {
                f32::from(plane[y as usize * width as usize + x as usize])
            };
            let brightness = (at(luminance, x, y, self.width) - black) * scale;
            let [b, r] = match self.chroma {
                Chroma::None => [0.0; 2],
                Chroma::Every(across, down) => {
                    [blue, red].map(|plane| (at(plane, x / across, y / down, columns) - 128.0) * of_colour)
                }
            };
            // BT.601-7, 2.5.1 to 2.5.3, solved for red, green and blue.
            let colours =
                [brightness + 1.402 * r, brightness - 0.344_136 * b - 0.714_136 * r, brightness + 1.772 * b];
            // Rounds, and clamps to 0..=255.
            Rgb(colours.map(|colour| (colour + 0.5) as u8))
        })
    }
}

impl Chroma {
    /// Columns and rows of a plane of colour.
    fn size(self, width: u32, height: u32) -> (u32, u32) {
        match self {
            Self::None => (0, 0),
            Self::Every(across, down) => (width.div_ceil(across), height.div_ceil(down)),
        }
    }
}

/// A line without its end; none at the end of the stream.
fn line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    input.take(MAX_LINE).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => bail!("a header that is cut short or longer than {MAX_LINE} bytes"),
    }
}

/// `30000:1001`.
fn parse_rate(text: &str) -> Option<(f64, f64)> {
    let (pictures, seconds) = text.split_once(':')?;
    let rate: (f64, f64) = (pictures.parse().ok()?, seconds.parse().ok()?);
    (rate.0 > 0.0 && rate.1 > 0.0 && rate.0.is_finite() && rate.1.is_finite()).then_some(rate)
}

fn parse_chroma(text: &str) -> Result<Chroma> {
    match text {
        // They differ in where between the pixels the values lie.
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Ok(Chroma::Every(2, 2)),
        "411" => Ok(Chroma::Every(4, 1)),
        "422" => Ok(Chroma::Every(2, 1)),
        "444" => Ok(Chroma::Every(1, 1)),
        "mono" => Ok(Chroma::None),
        other => bail!("pictures of the kind {other}; read are 420, 411, 422, 444 and mono of 8 bits"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn pictures(stream: &[u8]) -> Result<Vec<RgbImage>> {
        let mut y4m = Y4m::new(stream, 1000)?;
        let mut pictures = Vec::new();
        while y4m.advance()? {
            pictures.push(y4m.picture());
        }
        Ok(pictures)
    }

    #[test]
    fn planes_become_pixels() {
        // White and black above, and colours that two columns share: red and blue.
        let stream =
            b"YUV4MPEG2 W4 H1 F25:1 Ip A1:1 C422 XYSCSS=422\nFRAME\n\xeb\x10\x51\x29\x80\x5a\x80\xf0\
                       FRAME Ixyz\n\x10\x10\x10\x10\x80\x80\x80\x80";
        let pictures = pictures(stream).unwrap();
        assert_eq!(pictures.len(), 2);
        assert_eq!(pictures[0].get_pixel(0, 0).0, [255, 255, 255]);
        assert_eq!(pictures[0].get_pixel(1, 0).0, [0, 0, 0]);
        let [r, g, b] = pictures[0].get_pixel(2, 0).0;
        assert!(r > 250 && g < 5 && b < 5, "{r} {g} {b}");
        assert!(pictures[1].pixels().all(|pixel| pixel.0 == [0, 0, 0]));
    }

    #[test]
    fn odd_sides_and_grey() {
        let stream = [&b"YUV4MPEG2 W3 H3\nFRAME\n"[..], &[126; 9], &[128; 8]].concat();
        assert!(pictures(&stream).unwrap()[0].pixels().all(|pixel| pixel.0 == [128, 128, 128]));
        let stream = b"YUV4MPEG2 W2 H1 Cmono XCOLORRANGE=FULL\nFRAME\n\x00\xff";
        let picture = &pictures(stream).unwrap()[0];
        assert_eq!((picture.get_pixel(0, 0).0, picture.get_pixel(1, 0).0), ([0; 3], [255; 3]));
    }

    #[test]
    fn times_follow_the_rate() {
        let time = |header: &str| {
            let stream = format!("{header}\n{}", "FRAME\n1".repeat(31));
            let mut y4m = Y4m::new(stream.as_bytes(), 9).unwrap();
            while y4m.advance().unwrap() {}
            assert_eq!(y4m.frame(), 30);
            y4m.time_s()
        };
        assert_eq!(time("YUV4MPEG2 W1 H1 F30000:1001 Cmono"), Some(1.001));
        assert_eq!(time("YUV4MPEG2 W1 H1 F0:0 Cmono"), None);
        assert_eq!(time("YUV4MPEG2 W1 H1 Cmono"), None);
    }

    #[test]
    fn damage_is_told() {
        for (stream, expected) in [
            (&b""[..], "it is empty"),
            (b"RIFF....AVI \n", "it is no Y4M"),
            (b"YUV4MPEG2 W4 H1", "a header that is cut short"),
            (b"YUV4MPEG2 W4\n", "without width and height"),
            (b"YUV4MPEG2 Wx H1\n", "the width \"x\""),
            (b"YUV4MPEG2 W4 H1 C420p10\n", "pictures of the kind 420p10"),
            (b"YUV4MPEG2 W40 H40\n", "40x40 pixels, more than the 1000 allowed"),
            (b"YUV4MPEG2 W4294967295 H4294967295\n", "more than the 1000 allowed"),
            (b"YUV4MPEG2 W1 H1 Cmono\nFRAME\n\x01FRAM\n", "frame 1 does not begin with FRAME"),
            (b"YUV4MPEG2 W1 H1 Cmono\nFRAMES\n\x01", "frame 0 does not begin with FRAME"),
            (b"YUV4MPEG2 W1 H1 Cmono\nFRAME\n\x01FRAME\n", "frame 1 is cut short"),
        ] {
            let error = pictures(stream).unwrap_err();
            assert!(super::super::in_words(&error).contains(expected), "{error:#} instead of {expected}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_pictures_or_an_error(
            sides in [0_u32..12, 0_u32..12],
            fields in vec("[WHFCXIA ][0-9:a-zA-Z=\\-]{0,9}|C4(20|11|22|44)|Cmono|F[0-9]{1,3}:[0-9]", 0..4),
            body in vec(prop_oneof![Just(b"FRAME\n".to_vec()), vec(any::<u8>(), 0..40)], 0..12),
            cut in any::<Index>(),
        ) {
            let [width, height] = sides;
            let header = format!("YUV4MPEG2 W{width} H{height} {}\n", fields.join(" "));
            let stream = [header.into_bytes(), body.concat()].concat();
            // Half of the time to its end.
            let end = (2 * cut.index(stream.len())).min(stream.len());
            match pictures(&stream[..end]) {
                Ok(pictures) => {
                    for picture in &pictures {
                        prop_assert!(picture.width() * picture.height() <= 1000);
                        prop_assert!(picture.width() > 0 && picture.height() > 0);
                    }
                    prop_assert!(pictures.len() <= body.len() + 1);
                }
                Err(error) => prop_assert!(!super::super::in_words(&error).is_empty()),
            }
        }
    }
}
