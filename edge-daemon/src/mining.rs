//! Hard-example mining (HEM): should the cloud see this frame?
//!
//! The algorithms are those of KubeEdge Sedna (`lib/sedna/algorithms/hard_example_mining`), with the same names,
//! parameters and comparisons. Two things differ on purpose: parameters that cannot be read are an error
//! (Sedna ignores them), and `Random` takes its ratio as a string too (Sedna's resource always sends strings, and
//! its `Random` fails on them).

mod parameters;

use protocol::Detection;

pub use parameters::{Parameters, ParametersError};

/// The names that [`Mining::new`] knows.
pub const NAMES: [&str; 5] = ["IBT", "Threshold", "Random", "CloudOnly", "EdgeOnly"];

/// A mining algorithm with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum Mining {
    /// Image and box threshold: hard if the share of boxes with `score <= threshold_box` is at least
    /// `1 - threshold_img`. A frame without boxes is never hard, nor one with a score outside `0..=1`.
    Ibt {
        /// Share of confident boxes above which a frame is easy.
        threshold_img: f64,
        /// Score at or below which a box is doubtful.
        threshold_box: f64,
    },
    /// Hard if the mean score is below `threshold`. A frame without boxes is never hard.
    Threshold {
        /// The mean score from which a frame is easy.
        threshold: f64,
    },
    /// Hard with probability `random_ratio`, whatever the frame shows.
    Random {
        /// Share of hard frames.
        random_ratio: f64,
    },
    /// Every frame is hard.
    CloudOnly,
    /// No frame is hard.
    EdgeOnly,
}

/// Why no mining algorithm could be made.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum MiningError {
    /// Not one of [`NAMES`].
    #[error("unknown hard-example mining {name:?}; choose one of {}", NAMES.join(", "))]
    UnknownName {
        /// The name asked for.
        name: String,
    },
    /// Sedna's `CrossEntropy`.
    #[error(
        "hard-example mining CrossEntropy judges the class probabilities of a whole picture; a detector gives boxes. \
         Choose one of {}",
        NAMES.join(", ")
    )]
    NeedsClassProbabilities,
    /// A parameter cannot be used.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
}

impl Mining {
    /// Makes the algorithm `name`.
    ///
    /// # Errors
    ///
    /// An unknown name, one that does not work on boxes, or a parameter that is not a number.
    pub fn new(name: &str, parameters: &Parameters) -> Result<Self, MiningError> {
        Ok(match name {
            "IBT" => Self::Ibt {
                threshold_img: parameters.number("threshold_img", 0.5)?,
                threshold_box: parameters.number("threshold_box", 0.5)?,
            },
            "Threshold" => Self::Threshold { threshold: parameters.number("threshold", 0.5)? },
            "Random" => Self::Random { random_ratio: parameters.number("random_ratio", 0.3)? },
            "CloudOnly" => Self::CloudOnly,
            "EdgeOnly" => Self::EdgeOnly,
            "CrossEntropy" => return Err(MiningError::NeedsClassProbabilities),
            other => return Err(MiningError::UnknownName { name: other.to_owned() }),
        })
    }

    /// The parameter keys that this algorithm reads; Sedna ignores all others, and so do we.
    pub fn keys(&self) -> &'static [&'static str] {
        match self {
            Self::Ibt { .. } => &["threshold_img", "threshold_box"],
            Self::Threshold { .. } => &["threshold"],
            Self::Random { .. } => &["random_ratio"],
            Self::CloudOnly | Self::EdgeOnly => &[],
        }
    }

    /// Whether the cloud should see the frame in which the little model found `detections`.
    pub fn is_hard(&self, detections: &[Detection]) -> bool {
        // `Random` calls this once for each frame; the others ignore the draw.
        self.is_hard_with(detections.iter().map(|detection| f64::from(detection.score)), fastrand::f64)
    }

    fn is_hard_with(
        &self,
        scores: impl ExactSizeIterator<Item = f64> + Clone,
        draw: impl FnOnce() -> f64,
    ) -> bool {
        let boxes = scores.len() as f64;
        match *self {
            Self::Ibt { threshold_img, threshold_box } => {
                // A NaN is in no range.
                if boxes == 0.0 || scores.clone().any(|score| !(0.0..=1.0).contains(&score)) {
                    return false;
                }
                let doubtful = scores.filter(|score| *score <= threshold_box).count() as f64;
                doubtful / boxes >= 1.0 - threshold_img
            }
            Self::Threshold { threshold } => boxes > 0.0 && scores.sum::<f64>() / boxes < threshold,
            Self::Random { random_ratio } => draw() < random_ratio,
            Self::CloudOnly => true,
            Self::EdgeOnly => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ibt(threshold_img: f64, threshold_box: f64) -> Mining {
        Mining::Ibt { threshold_img, threshold_box }
    }

    fn hard(mining: &Mining, scores: &[f64]) -> bool {
        mining.is_hard_with(scores.iter().copied(), || 0.5)
    }

    #[test]
    fn ibt_as_sedna_decides() {
        let strict = ibt(0.9, 0.9);
        let nine_sure = |last: &[f64]| [&[0.95; 9][..], last].concat();
        let table: &[(&Mining, Vec<f64>, bool)] = &[
            (&strict, vec![], false),
            (&strict, vec![0.95], false),
            (&strict, vec![0.9], true),                // box threshold is inclusive
            (&strict, nine_sure(&[0.9]), true),        // a tenth, and 1 - 0.9 < 0.1 in float64
            (&strict, nine_sure(&[0.95, 0.5]), false), // an eleventh
            (&ibt(0.5, 0.5), vec![0.4, 0.9], true),    // image threshold is inclusive
            (&ibt(0.5, 0.5), vec![0.4, 0.9, 0.9], false),
            (&ibt(1.0, 0.0), vec![1.0], true), // threshold_img = 1: hard if there is any box
            (&ibt(1.0, 0.0), vec![], false),
            (&ibt(0.0, 0.5), vec![0.5, 0.5], true),
            (&ibt(0.0, 0.5), vec![0.5, 0.6], false),
            (&ibt(1.0, 1.0), vec![0.5, 1.1], false), // one score out of range: the frame is easy
            (&ibt(1.0, 1.0), vec![0.5, -0.1], false),
            (&ibt(1.0, 1.0), vec![0.5, f64::NAN], false),
            (&ibt(1.0, 1.0), vec![0.0, 1.0], true),
        ];
        for (mining, scores, expected) in table {
            assert_eq!(hard(mining, scores), *expected, "{mining:?} {scores:?}");
        }
    }

    #[test]
    fn threshold_as_sedna_decides() {
        let half = Mining::Threshold { threshold: 0.5 };
        assert!(!hard(&half, &[]));
        assert!(!hard(&half, &[0.5])); // strict
        assert!(hard(&half, &[0.49]));
        assert!(hard(&half, &[0.9, 0.05]));
        assert!(!hard(&half, &[7.0, 0.1])); // no check of the range
        assert!(!hard(&half, &[f64::NAN]));
    }

    #[test]
    fn random_is_a_strict_comparison() {
        let ratio = |random_ratio| Mining::Random { random_ratio };
        assert!(!hard(&ratio(0.5), &[])); // the tests draw 0.5
        assert!(hard(&ratio(0.51), &[]));
        assert!(!ratio(0.0).is_hard(&[]));
        assert!(ratio(1.0).is_hard(&[]));
    }

    #[test]
    fn the_fixed_ones() {
        assert!(hard(&Mining::CloudOnly, &[]));
        assert!(!hard(&Mining::EdgeOnly, &[0.1]));
    }

    #[test]
    fn defaults_are_sednas() {
        let none = Parameters::default();
        assert_eq!(Mining::new("IBT", &none), Ok(ibt(0.5, 0.5)));
        assert_eq!(Mining::new("Threshold", &none), Ok(Mining::Threshold { threshold: 0.5 }));
        assert_eq!(Mining::new("Random", &none), Ok(Mining::Random { random_ratio: 0.3 }));
        assert_eq!(Mining::new("CrossEntropy", &none), Err(MiningError::NeedsClassProbabilities));
        assert!(matches!(Mining::new("ibt", &none), Err(MiningError::UnknownName { .. })));
    }

    proptest! {
        #[test]
        fn a_lower_score_never_makes_ibt_easier(
            mut scores in prop::collection::vec(0.0..=1.0f64, 1..20),
            which in any::<prop::sample::Index>(),
            threshold_img in 0.0..=1.0f64,
            threshold_box in 0.0..=1.0f64,
        ) {
            let mining = ibt(threshold_img, threshold_box);
            let before = hard(&mining, &scores);
            let which = which.index(scores.len());
            scores[which] = 0.0;
            prop_assert!(hard(&mining, &scores) || !before);
        }
    }
}
