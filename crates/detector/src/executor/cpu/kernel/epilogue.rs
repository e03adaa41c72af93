//! What happens to a convolution's sums before they are stored.
#![expect(unsafe_code, reason = "vector instructions on pointers into the arena")]

use crate::executor::cpu::simd::{Simd, exp};
use crate::graph::{Activation, Residual};

/// Activation and residual of a convolution.
#[derive(Debug, Clone, Copy)]
pub(in crate::executor::cpu) struct Epilogue {
    curve: Curve,
    residual: Option<Residual>,
}

#[derive(Debug, Clone, Copy)]
enum Curve {
    /// `max(v, slope * v)`.
    Bent(f32),
    Silu,
}

impl Epilogue {
    pub(in crate::executor::cpu) fn new(activation: Activation, residual: Option<Residual>) -> Self {
        let curve = match activation {
            Activation::Identity => Curve::Bent(1.0),
            Activation::Relu => Curve::Bent(0.0),
            Activation::LeakyRelu(slope) => Curve::Bent(slope),
            Activation::Silu => Curve::Silu,
        };
        Self { curve, residual }
    }

    /// Finishes a row of pixels and stores them side by side.
    ///
    /// # Safety
    ///
    /// As [`Simd`]: `output` has room for the pixels, and `residual` as many where one is added.
    #[inline(always)]
    pub(super) unsafe fn store<S: Simd, const PIXELS: usize>(
        self,
        sums: [S::V; PIXELS],
        bias: S::V,
        output: *mut f32,
        residual: *const f32,
    ) {
        // SAFETY: the caller's. The branches are the same for all pixels, so they are taken once.
        unsafe {
            match (self.curve, self.residual) {
                (Curve::Bent(slope), None) => {
                    let slope = S::splat(slope);
                    for (pixel, sum) in sums.into_iter().enumerate() {
                        S::store(output.add(pixel * S::LANES), bent::<S>(S::add(sum, bias), slope));
                    }
                }
                (Curve::Bent(slope), Some(Residual::BeforeActivation)) => {
                    let slope = S::splat(slope);
                    for (pixel, sum) in sums.into_iter().enumerate() {
                        let other = S::load(residual.add(pixel * S::LANES));
                        let value = bent::<S>(S::add(S::add(sum, bias), other), slope);
                        S::store(output.add(pixel * S::LANES), value);
                    }
                }
                (Curve::Bent(slope), Some(Residual::AfterActivation)) => {
                    let slope = S::splat(slope);
                    for (pixel, sum) in sums.into_iter().enumerate() {
                        let other = S::load(residual.add(pixel * S::LANES));
                        let value = S::add(bent::<S>(S::add(sum, bias), slope), other);
                        S::store(output.add(pixel * S::LANES), value);
                    }
                }
                (Curve::Silu, when) => {
                    for (pixel, sum) in sums.into_iter().enumerate() {
                        let mut value = S::add(sum, bias);
                        if when == Some(Residual::BeforeActivation) {
                            value = S::add(value, S::load(residual.add(pixel * S::LANES)));
                        }
                        value = silu::<S>(value);
                        if when == Some(Residual::AfterActivation) {
                            value = S::add(value, S::load(residual.add(pixel * S::LANES)));
                        }
                        S::store(output.add(pixel * S::LANES), value);
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn bent<S: Simd>(v: S::V, slope: S::V) -> S::V {
    // SAFETY: the caller's.
    unsafe { S::max(v, S::mul(v, slope)) }
}

#[inline(always)]
unsafe fn silu<S: Simd>(v: S::V) -> S::V {
    // SAFETY: the caller's.
    unsafe {
        let one = S::splat(1.0);
        S::div(v, S::add(one, exp::<S>(S::sub(S::splat(0.0), v))))
    }
}
