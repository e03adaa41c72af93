//! The loops as they are compiled for each instruction set.
#![expect(unsafe_code, reason = "functions for processors that have an instruction set")]

use crate::instruction_set::InstructionSet;
use crate::kernels::{Kernels, Products, Step, Transforms};
use crate::loops::{Attention, Direct, MaxPool, Outputs, Product, Taps, Tile, Tile2, Tile3, Tile4, Tile6};
use crate::loops::{attention, direct, peak, pool, product, winograd};
#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512, Avx512Bf16, Avx512Vnni};
use crate::simd::{Dot, Halves, Numbers, Portable, Simd};

const fn products<D: Dot>(
    direct: unsafe fn(Step, usize, usize, &Direct<'_>),
    peak: unsafe fn(usize) -> usize,
) -> Products {
    Products { is_one_instruction: D::IS_ONE_INSTRUCTION, tile: D::TILE, direct, peak }
}

/// A register tile at a stride of 1, whose pixels are `ONE` values apart, or 2, with `TWO`.
///
/// # Safety
///
/// As [`Dot`], for everything that `a` points to.
#[inline(always)]
unsafe fn direct<D: Dot, const ONE: usize, const TWO: usize>(
    is_two: bool,
    vectors: usize,
    pixels: usize,
    a: &Direct<'_>,
) {
    // SAFETY: the caller's.
    unsafe {
        match (is_two, vectors) {
            (false, 1) => direct::direct::<D, 1, ONE>(pixels, a),
            (false, _) => direct::direct::<D, 2, ONE>(pixels, a),
            (true, 1) => direct::direct::<D, 1, TWO>(pixels, a),
            (true, _) => direct::direct::<D, 2, TWO>(pixels, a),
        }
    }
}

/// A product of Winograd's convolution.
///
/// # Safety
///
/// As [`Dot`], for everything that `a` points to.
#[inline(always)]
unsafe fn product<D: Dot>(vectors: usize, tiles: usize, a: &Product) {
    // SAFETY: the caller's.
    unsafe {
        match vectors {
            1 => product::product::<D, 1>(tiles, a),
            _ => product::product::<D, 2>(tiles, a),
        }
    }
}

/// The module of an instruction set's loops over numbers, and of those that make numbers of what is stored.
macro_rules! numbers {
    ($module:ident, $simd:ty $(, #[$feature:meta])?) => {
        mod $module {
            use super::*;

            const LANES: usize = <$simd>::LANES;

            pub(super) const PRODUCTS: Products = products::<Numbers<$simd>>(direct, peak);

            $(#[$feature])?
            unsafe fn direct(step: Step, vectors: usize, pixels: usize, a: &Direct<'_>) {
                // SAFETY: the caller's.
                unsafe {
                    if step.is_in_picture() {
                        super::direct::<Numbers<$simd>, 3, 6>(step.is_two(), vectors, pixels, a);
                    } else {
                        super::direct::<Numbers<$simd>, LANES, { 2 * LANES }>(step.is_two(), vectors, pixels, a);
                    }
                }
            }

            $(#[$feature])?
            pub(super) unsafe fn product(vectors: usize, tiles: usize, a: &Product) {
                // SAFETY: the caller's.
                unsafe { super::product::<Numbers<$simd>>(vectors, tiles, a) }
            }

            $(#[$feature])?
            unsafe fn inputs<T: Tile>(input: *const f32, row: usize, output: *mut f32, point: usize) {
                // SAFETY: the caller's.
                unsafe {
                    let load = |at| <$simd as Simd>::load(at);
                    winograd::inputs::<$simd, Numbers<$simd>, T>(load, input, row, output, point);
                }
            }

            $(#[$feature])?
            unsafe fn inputs_halves<T: Tile>(input: *const f32, row: usize, output: *mut f32, point: usize) {
                // SAFETY: the caller's.
                unsafe {
                    let load = |at: *const f32| <$simd>::load_halves(at.cast());
                    winograd::inputs::<$simd, Halves<$simd>, T>(load, input, row, output, point);
                }
            }

            $(#[$feature])?
            unsafe fn inputs_bytes<T: Tile>(
                input: *const f32,
                row: usize,
                output: *mut f32,
                point: usize,
                zero: f32,
            ) {
                // SAFETY: the caller's.
                unsafe {
                    let zero = <$simd as Simd>::splat(zero);
                    let load = |at: *const f32| <$simd>::sub(<$simd>::load_bytes(at.cast()), zero);
                    winograd::inputs::<$simd, Halves<$simd>, T>(load, input, row, output, point);
                }
            }

            $(#[$feature])?
            unsafe fn outputs<T: Tile>(a: &Outputs) {
                // SAFETY: the caller's.
                unsafe { winograd::outputs::<$simd, T>(a) }
            }

            $(#[$feature])?
            unsafe fn taps<T: Tile>(row: usize, a: &Taps) {
                // SAFETY: the caller's.
                unsafe { winograd::taps::<$simd, T>(row, a) }
            }

            pub(super) const fn transforms<T: Tile>() -> Transforms {
                Transforms {
                    taps: taps::<T>,
                    inputs: inputs::<T>,
                    inputs_halves: inputs_halves::<T>,
                    inputs_bytes: inputs_bytes::<T>,
                    outputs: outputs::<T>,
                }
            }

            $(#[$feature])?
            pub(super) unsafe fn max_pool(a: &MaxPool) {
                // SAFETY: the caller's.
                unsafe { pool::max_pool::<$simd, Numbers<$simd>>(a) }
            }

            $(#[$feature])?
            pub(super) unsafe fn max_pool_halves(a: &MaxPool) {
                // SAFETY: the caller's.
                unsafe { pool::max_pool::<$simd, Halves<$simd>>(a) }
            }

            $(#[$feature])?
            pub(super) unsafe fn max_pool_bytes(a: &MaxPool) {
                // SAFETY: the caller's.
                unsafe { pool::max_pool_bytes::<{ 4 * LANES }>(a) }
            }

            $(#[$feature])?
            pub(super) unsafe fn attention(a: &Attention) {
                // SAFETY: the caller's.
                unsafe { attention::attention::<$simd>(a) }
            }

            $(#[$feature])?
            unsafe fn peak(rounds: usize) -> usize {
                // SAFETY: the caller's.
                unsafe { peak::peak::<Numbers<$simd>, 1>(rounds) }
            }
        }
    };
}

/// The module of an instruction set's loops over products of halves.
macro_rules! halves {
    ($module:ident, $dot:ty $(, #[$feature:meta])?) => {
        mod $module {
            use super::*;

            const LANES: usize = <$dot as Dot>::F::LANES;

            pub(super) const PRODUCTS: Products = products::<$dot>(direct, peak);

            $(#[$feature])?
            unsafe fn direct(step: Step, vectors: usize, pixels: usize, a: &Direct<'_>) {
                debug_assert!(!step.is_in_picture(), "the picture is no halves");
                // SAFETY: the caller's.
                unsafe { super::direct::<$dot, LANES, { 2 * LANES }>(step.is_two(), vectors, pixels, a) }
            }

            $(#[$feature])?
            pub(super) unsafe fn product(vectors: usize, tiles: usize, a: &Product) {
                // SAFETY: the caller's.
                unsafe { super::product::<$dot>(vectors, tiles, a) }
            }

            $(#[$feature])?
            unsafe fn peak(rounds: usize) -> usize {
                // SAFETY: the caller's.
                unsafe { peak::peak::<$dot, 2>(rounds) }
            }
        }
    };
}

/// The module of an instruction set's loops over products of bytes.
macro_rules! bytes {
    ($module:ident, $dot:ty $(, #[$feature:meta])?) => {
        mod $module {
            use super::*;

            const LANES: usize = <$dot as Dot>::F::LANES;

            pub(super) const PRODUCTS: Products = products::<$dot>(direct, peak);

            $(#[$feature])?
            unsafe fn direct(step: Step, vectors: usize, pixels: usize, a: &Direct<'_>) {
                // SAFETY: the caller's.
                unsafe {
                    if step.is_in_picture() {
                        super::direct::<$dot, 1, 2>(step.is_two(), vectors, pixels, a);
                    } else {
                        super::direct::<$dot, LANES, { 2 * LANES }>(step.is_two(), vectors, pixels, a);
                    }
                }
            }

            $(#[$feature])?
            unsafe fn peak(rounds: usize) -> usize {
                // SAFETY: the caller's.
                unsafe { peak::peak::<$dot, 4>(rounds) }
            }
        }
    };
}

/// The kernels of an instruction set: the modules for numbers, halves and bytes.
macro_rules! kernels {
    ($table:ident, $set:ident, $simd:ty, $numbers:ident, $halves:ident, $bytes:ident) => {
        static $table: Kernels = Kernels {
            instruction_set: InstructionSet::$set,
            lanes: <$simd>::LANES,
            numbers: $numbers::PRODUCTS,
            halves: $halves::PRODUCTS,
            bytes: $bytes::PRODUCTS,
            product: $numbers::product,
            product_halves: $halves::product,
            transforms: [
                $numbers::transforms::<Tile2>(),
                $numbers::transforms::<Tile3>(),
                $numbers::transforms::<Tile4>(),
                $numbers::transforms::<Tile6>(),
            ],
            max_pool: $numbers::max_pool,
            max_pool_halves: $numbers::max_pool_halves,
            max_pool_bytes: $numbers::max_pool_bytes,
            attention: $numbers::attention,
        };
    };
}

#[cfg(target_arch = "x86_64")]
numbers!(avx512, Avx512, #[target_feature(enable = "avx512f,fma")]);
#[cfg(target_arch = "x86_64")]
halves!(avx512_halves, Halves<Avx512>, #[target_feature(enable = "avx512f,fma")]);
#[cfg(target_arch = "x86_64")]
halves!(avx512_bf16, Avx512Bf16, #[target_feature(enable = "avx512f,avx512bf16,fma")]);
#[cfg(target_arch = "x86_64")]
bytes!(avx512_bytes, Avx512, #[target_feature(enable = "avx512f,fma")]);
#[cfg(target_arch = "x86_64")]
bytes!(avx512_vnni, Avx512Vnni, #[target_feature(enable = "avx512f,avx512vnni,fma")]);
#[cfg(target_arch = "x86_64")]
numbers!(avx2, Avx2, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
halves!(avx2_halves, Halves<Avx2>, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
bytes!(avx2_bytes, Avx2, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
kernels!(AVX512_BF16, Avx512, Avx512, avx512, avx512_bf16, avx512_vnni);
#[cfg(target_arch = "x86_64")]
kernels!(AVX512_VNNI, Avx512, Avx512, avx512, avx512_halves, avx512_vnni);
#[cfg(target_arch = "x86_64")]
kernels!(AVX512, Avx512, Avx512, avx512, avx512_halves, avx512_bytes);
#[cfg(target_arch = "x86_64")]
kernels!(AVX2, Avx2, Avx2, avx2, avx2_halves, avx2_bytes);

#[cfg(target_arch = "aarch64")]
numbers!(neon, Neon);
#[cfg(target_arch = "aarch64")]
halves!(neon_halves, Halves<Neon>);
#[cfg(target_arch = "aarch64")]
bytes!(neon_bytes, Neon);
#[cfg(target_arch = "aarch64")]
kernels!(NEON, Neon, Neon, neon, neon_halves, neon_bytes);

numbers!(portable, Portable);
halves!(portable_halves, Halves<Portable>);
bytes!(portable_bytes, Portable);
kernels!(PORTABLE, Portable, Portable, portable, portable_halves, portable_bytes);

/// The kernels that this processor can run, the fastest first.
pub(crate) fn available() -> Vec<&'static Kernels> {
    let mut available = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let fma = std::arch::is_x86_feature_detected!("fma");
        if fma && std::arch::is_x86_feature_detected!("avx512f") {
            if std::arch::is_x86_feature_detected!("avx512vnni") {
                if std::arch::is_x86_feature_detected!("avx512bf16") {
                    available.push(&AVX512_BF16);
                }
                available.push(&AVX512_VNNI);
            }
            available.push(&AVX512);
        }
        if fma && std::arch::is_x86_feature_detected!("avx2") {
            available.push(&AVX2);
        }
    }
    #[cfg(target_arch = "aarch64")]
    available.push(&NEON);
    available.push(&PORTABLE);
    available
}
