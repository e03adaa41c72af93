//! What happens to a convolution's sums before they are stored.
#![expect(unsafe_code, reason = "vector instructions on pointers into the arena")]

use crate::layer::{Activation, Residual};
use crate::simd::{Simd, exp};
use crate::storage::{Quantization, Storage};

/// What becomes of a convolution's sums.
#[derive(Debug, Clone, Copy)]
pub struct Epilogue {
    curve: Curve,
    /// When the residual is added, and how it is stored.
    residual: Option<(Residual, Storage)>,
    output: Storage,
}

#[derive(Debug, Clone, Copy)]
enum Curve {
    /// `max(v, slope * v)`.
    Bent(f32),
    Silu,
}

impl Epilogue {
    /// Of a convolution with this activation, to which something that is stored so may be added.
    pub fn new(activation: Activation, residual: Option<(Residual, Storage)>, output: Storage) -> Self {
        let curve = match activation {
            Activation::Identity => Curve::Bent(1.0),
            Activation::Relu => Curve::Bent(0.0),
            Activation::LeakyRelu(slope) => Curve::Bent(slope),
            Activation::Silu => Curve::Silu,
        };
        Self { curve, residual, output }
    }

    /// Finishes the values of a row of pixels and stores them, neighbours as many `f32` apart as a vector has lanes.
    ///
    /// # Safety
    ///
    /// As [`Simd`]: `output` has room for the pixels, and `residual` as many where one is added.
    #[inline(always)]
    pub(crate) unsafe fn store<S: Simd, const PIXELS: usize>(
        self,
        values: [S::V; PIXELS],
        output: *mut f32,
        residual: *const f32,
    ) {
        use Storage::{Bytes, Halves, Numbers};
        // SAFETY: the caller's. The branches are the same for all pixels: those that are many are taken once.
        unsafe {
            match (self.curve, self.residual, self.output) {
                (Curve::Bent(slope), None, Numbers) => {
                    let slope = S::splat(slope);
                    for (pixel, value) in values.into_iter().enumerate() {
                        S::store(output.add(pixel * S::LANES), bent::<S>(value, slope));
                    }
                }
                (Curve::Bent(slope), Some((Residual::BeforeActivation, Numbers)), Numbers) => {
                    let slope = S::splat(slope);
                    for (pixel, value) in values.into_iter().enumerate() {
                        let other = S::load(residual.add(pixel * S::LANES));
                        S::store(output.add(pixel * S::LANES), bent::<S>(S::add(value, other), slope));
                    }
                }
                (Curve::Bent(slope), Some((Residual::AfterActivation, Numbers)), Numbers) => {
                    let slope = S::splat(slope);
                    for (pixel, value) in values.into_iter().enumerate() {
                        let other = S::load(residual.add(pixel * S::LANES));
                        S::store(output.add(pixel * S::LANES), S::add(bent::<S>(value, slope), other));
                    }
                }
                (Curve::Bent(slope), None, Bytes(quantization)) => {
                    let slope = S::splat(slope);
                    for (pixel, value) in values.into_iter().enumerate() {
                        let value = bent::<S>(value, slope);
                        quantization.store::<S>(output.add(pixel * S::LANES), value);
                    }
                }
                (Curve::Bent(slope), None, Halves) => {
                    let slope = S::splat(slope);
                    for (pixel, value) in values.into_iter().enumerate() {
                        S::store_halves(output.add(pixel * S::LANES).cast(), bent::<S>(value, slope));
                    }
                }
                (Curve::Bent(slope), Some((Residual::AfterActivation, Halves)), Halves) => {
                    let slope = S::splat(slope);
                    for (pixel, value) in values.into_iter().enumerate() {
                        let other = S::load_halves(residual.add(pixel * S::LANES).cast());
                        let value = S::add(bent::<S>(value, slope), other);
                        S::store_halves(output.add(pixel * S::LANES).cast(), value);
                    }
                }
                (curve, residual_is, output_is) => {
                    for (pixel, mut value) in values.into_iter().enumerate() {
                        let other = residual.wrapping_add(pixel * S::LANES);
                        if let Some((Residual::BeforeActivation, added)) = residual_is {
                            value = S::add(value, added.load::<S>(other));
                        }
                        value = match curve {
                            Curve::Bent(slope) => bent::<S>(value, S::splat(slope)),
                            Curve::Silu => silu::<S>(value),
                        };
                        if let Some((Residual::AfterActivation, added)) = residual_is {
                            value = S::add(value, added.load::<S>(other));
                        }
                        output_is.store::<S>(output.add(pixel * S::LANES), value);
                    }
                }
            }
        }
    }
}

impl Storage {
    #[inline(always)]
    unsafe fn load<S: Simd>(self, from: *const f32) -> S::V {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::Numbers => S::load(from),
                Self::Halves => S::load_halves(from.cast()),
                Self::Bytes(Quantization { scale, zero }) => {
                    let offset = S::splat(-scale * f32::from(zero));
                    S::mul_add(S::load_bytes(from.cast()), S::splat(scale), offset)
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(self, to: *mut f32, value: S::V) {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::Numbers => S::store(to, value),
                Self::Halves => S::store_halves(to.cast(), value),
                Self::Bytes(quantization) => quantization.store::<S>(to, value),
            }
        }
    }
}

impl Quantization {
    #[inline(always)]
    unsafe fn store<S: Simd>(self, to: *mut f32, value: S::V) {
        // SAFETY: the caller's.
        unsafe {
            let value = S::mul_add(value, S::splat(1.0 / self.scale), S::splat(f32::from(self.zero)));
            // Within what becomes an integer, whatever came in.
            let value = S::min(S::max(value, S::splat(0.0)), S::splat(255.0));
            S::store_bytes(to.cast(), value);
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
