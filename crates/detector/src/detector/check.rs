//! Whether a model that loads also computes.

use image::{Rgb, RgbImage};

use super::{DetectError, Detector};
use crate::executor::{Head, PictureMut};
use crate::letterbox;

/// Why a model that loads is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It does not run.
    #[error(transparent)]
    Detect(#[from] DetectError),
    /// It runs, and what comes out are no numbers.
    #[error(
        "on a test picture, {bad} of the {all} numbers of the network's output of {rows}x{columns} cells are infinite or \
         not a number: the weights do not belong together, or are damaged"
    )]
    NotFinite {
        /// How many.
        bad: usize,
        /// Out of how many.
        all: usize,
        /// Rows of cells of the output.
        rows: usize,
        /// Columns of cells of the output.
        columns: usize,
    },
}

impl Detector {
    /// Runs the model on a picture that is always the same, and looks at every number that comes out of the network.
    ///
    /// What is not a number would otherwise look like a picture without objects.
    ///
    /// # Errors
    ///
    /// If the network fails, or what comes out is infinite or not a number.
    pub fn check(&self) -> Result<(), CheckError> {
        let picture = RgbImage::from_fn(self.info.input_width, self.info.input_height, |x, y| {
            Rgb([(x * 5 + y) as u8, (y * 3) as u8, if (x / 16 + y / 16) % 2 == 0 { 40 } else { 200 }])
        });
        let mut fill = |_: usize, input: PictureMut<'_>| {
            letterbox::letterbox(self.decoder.family(), &picture, input);
        };
        let not_finite = self
            .network
            .run(1, &mut fill, |outputs| {
                (0..self.decoder.heads()).find_map(|output| not_finite(&outputs.head(0, output)))
            })
            .map_err(DetectError::Network)?;
        not_finite.map_or(Ok(()), Err)
    }
}

/// What is wrong with an output.
fn not_finite(head: &Head<'_>) -> Option<CheckError> {
    let (rows, columns) = head.size();
    let places = || (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let planes = (0..head.channels()).map(|channel| head.plane(channel));
    let bad = planes
        .map(|plane| places().filter(|&(row, column)| !plane.get(row, column).is_finite()).count())
        .sum::<usize>();
    let all = head.channels() * rows * columns;
    (bad > 0).then_some(CheckError::NotFinite { bad, all, rows, columns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{random_model, write_model};
    use crate::{Family, LoadOptions};

    #[test]
    fn a_network_that_overflows_is_found_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.safetensors");
        let (mut tensors, metadata) = random_model(Family::Yolov3Resnet18, 0.125, &["person"], (96, 96), 1);
        let check = |tensors: &_| {
            write_model(&path, tensors, metadata.clone()).unwrap();
            Detector::load(&path, &LoadOptions::default()).unwrap().check()
        };
        check(&tensors).unwrap();
        // Each of these weights is a number, and what follows from them is not.
        for (name, factor) in [("head8.conv6.weight", 1e6), ("head8.output.weight", 1e37)] {
            tensors.get_mut(name).unwrap().1.iter_mut().for_each(|weight| *weight *= factor);
        }
        let error = check(&tensors).unwrap_err().to_string();
        assert!(error.contains("infinite or not a number"), "{error}");
    }
}
