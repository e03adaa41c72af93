//! The inner loops, written once and compiled for each instruction set.
#![expect(unsafe_code, reason = "functions for processors that have an instruction set")]

#[macro_use]
mod tiles;
mod attention;
mod direct;
mod epilogue;
mod peak;
mod pool;
mod product;
mod winograd;

pub(super) use attention::Attention;
pub(super) use direct::Direct;
pub(super) use epilogue::Epilogue;
pub(super) use pool::MaxPool;
pub(super) use product::Product;
pub(super) use winograd::{Outputs, Tile, Tile2, Tile3, Tile4, weights};

use super::instruction_set::InstructionSet;
use super::quantization::Storage;
#[cfg(target_arch = "aarch64")]
use super::simd::Neon;
#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512, Avx512Bf16, Avx512Vnni};
use super::simd::{Dot, Halves, Numbers, Portable, Simd};

/// Values between neighbouring pixels of a register tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Blocks of channels, at a stride of 1.
    Block,
    /// Blocks of channels, at a stride of 2.
    TwoBlocks,
    /// The picture's three channels, which are one value where they are bytes, at a stride of 1.
    Rgb,
    /// The same at a stride of 2.
    TwoRgb,
}

impl Step {
    fn is_in_picture(self) -> bool {
        matches!(self, Self::Rgb | Self::TwoRgb)
    }

    fn is_two(self) -> bool {
        matches!(self, Self::TwoBlocks | Self::TwoRgb)
    }
}

/// The inner loops of one instruction set.
///
/// All are unsafe: they need the instruction set, and memory behind every pointer as their arguments describe it.
#[derive(Debug)]
pub(super) struct Kernels {
    pub(super) instruction_set: InstructionSet,
    /// Values of a pixel in a block, and channels of a vector.
    pub(super) lanes: usize,
    pub(super) numbers: Products,
    /// The picture is no halves.
    pub(super) halves: Products,
    pub(super) bytes: Products,
    /// A product of Winograd's convolution: its vectors (1 or 2) and its tiles, no more than the largest register tile has
    /// pixels.
    pub(super) product: unsafe fn(usize, usize, &Product),
    /// The same where inputs and weights are halves.
    pub(super) product_halves: unsafe fn(usize, usize, &Product),
    /// Transforms for tiles of 2, 3 and 4 outputs an axis.
    pub(super) transforms: [Transforms; 3],
    pub(super) max_pool: unsafe fn(&MaxPool),
    pub(super) max_pool_halves: unsafe fn(&MaxPool),
    pub(super) max_pool_bytes: unsafe fn(&MaxPool),
    pub(super) attention: unsafe fn(&Attention),
}

/// Loops over products of one kind of values.
#[derive(Debug)]
pub(super) struct Products {
    /// Whether the instruction set has one for their sums: then what is smaller is faster.
    pub(super) is_one_instruction: bool,
    /// The largest register tile.
    pub(super) tile: usize,
    /// A register tile of a convolution: its step, its vectors (1 or 2) and its pixels.
    pub(super) direct: unsafe fn(Step, usize, usize, &Direct<'_>),
    /// So many rounds of multiplications and additions in registers, and how many those were.
    pub(super) peak: unsafe fn(usize) -> usize,
}

/// The transforms of one size of tile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transforms {
    /// Input, the distance of its rows, output, the distance of the points.
    pub(super) inputs: unsafe fn(*const f32, usize, *mut f32, usize),
    /// The same where both are halves.
    pub(super) inputs_halves: unsafe fn(*const f32, usize, *mut f32, usize),
    /// The same from bytes, of which this one stands for 0 and neighbours are 1 apart, to halves.
    pub(super) inputs_bytes: unsafe fn(*const f32, usize, *mut f32, usize, f32),
    pub(super) outputs: unsafe fn(&Outputs),
}

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

            pub(super) const fn transforms<T: Tile>() -> Transforms {
                Transforms {
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

impl Kernels {
    /// Vectors of a group of output channels where so many channels are left.
    pub(super) fn vectors(&self, channels: usize) -> usize {
        channels.div_ceil(self.lanes).min(2)
    }

    /// Those of values that are stored in such a way.
    pub(super) fn products(&self, storage: Storage) -> &Products {
        match storage {
            Storage::Numbers => &self.numbers,
            Storage::Halves => &self.halves,
            Storage::Bytes(_) => &self.bytes,
        }
    }

    /// The fastest kernels of an instruction set, or of all, that this processor can run.
    pub(super) fn chosen(instruction_set: Option<InstructionSet>) -> Option<&'static Self> {
        let is_wanted =
            |kernels: &&Self| instruction_set.is_none_or(|wanted| wanted == kernels.instruction_set);
        Self::available().into_iter().find(is_wanted)
    }

    /// The kernels that this processor can run, the fastest first.
    pub(super) fn available() -> Vec<&'static Self> {
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
}
