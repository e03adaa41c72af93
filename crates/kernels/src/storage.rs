//! How activations are stored, and what bytes stand for.

/// What a byte stands for: `(byte - zero) * scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantization {
    /// From a byte to the next.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero: u8,
}

/// How activations are stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Storage {
    /// Single precision.
    Numbers,
    /// bfloat16.
    Halves,
    /// Bytes that stand for numbers so.
    Bytes(Quantization),
}

impl Storage {
    /// Activations in the room of an `f32`.
    pub fn each(self) -> usize {
        match self {
            Self::Numbers => 1,
            Self::Halves => 2,
            Self::Bytes(_) => 4,
        }
    }

    /// Activations in the room of an `f32` at the points of Winograd's convolution, where bytes become halves.
    pub fn each_at_points(self) -> usize {
        self.each().min(2)
    }

    /// The byte that stands for 0, or of which the number 0 is made.
    pub fn zero(self) -> u8 {
        match self {
            Self::Numbers | Self::Halves => 0,
            Self::Bytes(quantization) => quantization.zero,
        }
    }
}

impl Quantization {
    /// The finest for values from `least` to `most`, between which 0 lies or is put. 0 itself is exact, so that borders are.
    pub fn of([least, most]: [f32; 2]) -> Self {
        let (least, most) = (least.min(0.0), most.max(0.0));
        // Where everything is 0, any scale will do.
        let scale = if most > least { (most - least) / 255.0 } else { 1.0 };
        Self { scale, zero: (-least / scale).round() as u8 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_range_is_told_apart_in_255_steps(least in -1e3f32..10.0, width in 1e-3f32..1e3) {
            let most = least + width;
            let Quantization { scale, zero } = Quantization::of([least, most]);
            let value = |byte: u8| (f32::from(byte) - f32::from(zero)) * scale;
            let whole = most.max(0.0) - least.min(0.0);
            prop_assert!((255.0 * scale - whole).abs() <= 1e-5 * whole);
            prop_assert!((value(0) - least.min(0.0)).abs() <= 0.501 * scale);
            prop_assert!((value(255) - most.max(0.0)).abs() <= 0.501 * scale);
        }
    }

    #[test]
    fn nothing_but_zeros_has_a_scale() {
        assert_eq!(Quantization::of([0.0, 0.0]), Quantization { scale: 1.0, zero: 0 });
    }
}
