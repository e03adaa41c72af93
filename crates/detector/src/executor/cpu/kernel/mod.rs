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

/// The inner loops of one instruction set.
///
/// All are unsafe: they need the instruction set, and memory behind every pointer as their arguments describe it.
#[derive(Debug)]
pub(super) struct Kernels {
    pub(super) instruction_set: InstructionSet,
    /// Whether the instruction set has one for sums of products of halves.
    pub(super) multiplies_halves: bool,
    /// Whether the instruction set has one for sums of products of bytes: then bytes are faster than numbers.
    pub(super) multiplies_bytes: bool,
    /// Values of a pixel in a block, and channels of a vector.
    pub(super) lanes: usize,
    /// The largest register tile.
    pub(super) tile: usize,
    /// A register tile of a convolution: its step, its vectors (1 or 2) and its pixels.
    pub(super) direct: unsafe fn(Step, usize, usize, &Direct<'_>),
    /// The same where inputs and weights are halves; the picture is none.
    pub(super) direct_halves: unsafe fn(Step, usize, usize, &Direct<'_>),
    /// The same where inputs and weights are bytes.
    pub(super) direct_bytes: unsafe fn(Step, usize, usize, &Direct<'_>),
    /// A product of Winograd's convolution: its vectors (1 or 2) and its tiles.
    pub(super) product: unsafe fn(usize, usize, &Product),
    /// The same where inputs and weights are halves.
    pub(super) product_halves: unsafe fn(usize, usize, &Product),
    /// Transforms for tiles of 2, 3 and 4 outputs an axis.
    pub(super) transforms: [Transforms; 3],
    pub(super) max_pool: unsafe fn(&MaxPool),
    pub(super) max_pool_halves: unsafe fn(&MaxPool),
    pub(super) max_pool_bytes: unsafe fn(&MaxPool),
    pub(super) attention: unsafe fn(&Attention),
    /// So many rounds of multiplications and additions in registers, and how many those were.
    pub(super) peak: unsafe fn(usize) -> usize,
    /// The same with halves.
    pub(super) peak_halves: unsafe fn(usize) -> usize,
    /// The same with bytes.
    pub(super) peak_bytes: unsafe fn(usize) -> usize,
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

macro_rules! kernels {
    ($table:ident, $module:ident, $set:ident, $simd:ty, $halves:ty, $bytes:ty $(, #[$feature:meta])?) => {
        mod $module {
            use super::*;

            $(#[$feature])?
            pub(super) unsafe fn direct(step: Step, vectors: usize, pixels: usize, a: &Direct<'_>) {
                const LANES: usize = <$simd>::LANES;
                // SAFETY: the caller's.
                unsafe {
                    match (step, vectors) {
                        (Step::Block, 1) => direct::direct::<Numbers<$simd>, 1, LANES>(pixels, a),
                        (Step::Block, _) => direct::direct::<Numbers<$simd>, 2, LANES>(pixels, a),
                        (Step::TwoBlocks, 1) => direct::direct::<Numbers<$simd>, 1, { 2 * LANES }>(pixels, a),
                        (Step::TwoBlocks, _) => direct::direct::<Numbers<$simd>, 2, { 2 * LANES }>(pixels, a),
                        (Step::Rgb, 1) => direct::direct::<Numbers<$simd>, 1, 3>(pixels, a),
                        (Step::Rgb, _) => direct::direct::<Numbers<$simd>, 2, 3>(pixels, a),
                        (Step::TwoRgb, 1) => direct::direct::<Numbers<$simd>, 1, 6>(pixels, a),
                        (Step::TwoRgb, _) => direct::direct::<Numbers<$simd>, 2, 6>(pixels, a),
                    }
                }
            }

            $(#[$feature])?
            pub(super) unsafe fn direct_halves(step: Step, vectors: usize, pixels: usize, a: &Direct<'_>) {
                // SAFETY: the caller's.
                unsafe { stored::<$halves>(step, vectors, pixels, a) }
            }

            $(#[$feature])?
            pub(super) unsafe fn direct_bytes(step: Step, vectors: usize, pixels: usize, a: &Direct<'_>) {
                // SAFETY: the caller's.
                unsafe { stored::<$bytes>(step, vectors, pixels, a) }
            }

            /// A register tile of values that are no numbers.
            #[inline(always)]
            unsafe fn stored<D: Dot>(step: Step, vectors: usize, pixels: usize, a: &Direct<'_>) {
                const LANES: usize = <$simd>::LANES;
                // SAFETY: the caller's.
                unsafe {
                    match (step, vectors) {
                        (Step::Block, 1) => direct::direct::<D, 1, LANES>(pixels, a),
                        (Step::Block, _) => direct::direct::<D, 2, LANES>(pixels, a),
                        (Step::TwoBlocks, 1) => direct::direct::<D, 1, { 2 * LANES }>(pixels, a),
                        (Step::TwoBlocks, _) => direct::direct::<D, 2, { 2 * LANES }>(pixels, a),
                        (Step::Rgb, 1) => direct::direct::<D, 1, 1>(pixels, a),
                        (Step::Rgb, _) => direct::direct::<D, 2, 1>(pixels, a),
                        (Step::TwoRgb, 1) => direct::direct::<D, 1, 2>(pixels, a),
                        (Step::TwoRgb, _) => direct::direct::<D, 2, 2>(pixels, a),
                    }
                }
            }

            $(#[$feature])?
            pub(super) unsafe fn product(vectors: usize, tiles: usize, a: &Product) {
                // SAFETY: the caller's.
                unsafe {
                    match vectors {
                        1 => product::product::<Numbers<$simd>, 1>(tiles, a),
                        _ => product::product::<Numbers<$simd>, 2>(tiles, a),
                    }
                }
            }

            $(#[$feature])?
            pub(super) unsafe fn product_halves(vectors: usize, tiles: usize, a: &Product) {
                // SAFETY: the caller's.
                unsafe {
                    match vectors {
                        1 => product::product::<$halves, 1>(tiles, a),
                        _ => product::product::<$halves, 2>(tiles, a),
                    }
                }
            }

            $(#[$feature])?
            pub(super) unsafe fn inputs<T: Tile>(input: *const f32, row: usize, output: *mut f32, point: usize) {
                // SAFETY: the caller's.
                unsafe {
                    let load = |at| <$simd as Simd>::load(at);
                    winograd::inputs::<$simd, Numbers<$simd>, T>(load, input, row, output, point);
                }
            }

            $(#[$feature])?
            pub(super) unsafe fn inputs_halves<T: Tile>(
                input: *const f32,
                row: usize,
                output: *mut f32,
                point: usize,
            ) {
                // SAFETY: the caller's.
                unsafe {
                    let load = |at: *const f32| <$simd>::load_halves(at.cast());
                    winograd::inputs::<$simd, Halves<$simd>, T>(load, input, row, output, point);
                }
            }

            $(#[$feature])?
            pub(super) unsafe fn inputs_bytes<T: Tile>(
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

            pub(super) const fn transforms<T: Tile>() -> Transforms {
                Transforms {
                    inputs: inputs::<T>,
                    inputs_halves: inputs_halves::<T>,
                    inputs_bytes: inputs_bytes::<T>,
                    outputs: outputs::<T>,
                }
            }

            $(#[$feature])?
            pub(super) unsafe fn outputs<T: Tile>(a: &Outputs) {
                // SAFETY: the caller's.
                unsafe { winograd::outputs::<$simd, T>(a) }
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
                unsafe { pool::max_pool_bytes::<{ 4 * <$simd>::LANES }>(a) }
            }

            $(#[$feature])?
            pub(super) unsafe fn attention(a: &Attention) {
                // SAFETY: the caller's.
                unsafe { attention::attention::<$simd>(a) }
            }

            $(#[$feature])?
            pub(super) unsafe fn peak(rounds: usize) -> usize {
                // SAFETY: the caller's.
                unsafe { peak::peak::<Numbers<$simd>, 1>(rounds) }
            }

            $(#[$feature])?
            pub(super) unsafe fn peak_halves(rounds: usize) -> usize {
                // SAFETY: the caller's.
                unsafe { peak::peak::<$halves, 2>(rounds) }
            }

            $(#[$feature])?
            pub(super) unsafe fn peak_bytes(rounds: usize) -> usize {
                // SAFETY: the caller's.
                unsafe { peak::peak::<$bytes, 4>(rounds) }
            }
        }

        static $table: Kernels = Kernels {
            instruction_set: InstructionSet::$set,
            multiplies_halves: <$halves as Dot>::IS_ONE_INSTRUCTION,
            multiplies_bytes: <$bytes as Dot>::IS_ONE_INSTRUCTION,
            lanes: <$simd>::LANES,
            tile: <$simd>::TILE,
            direct: $module::direct,
            direct_halves: $module::direct_halves,
            direct_bytes: $module::direct_bytes,
            product: $module::product,
            product_halves: $module::product_halves,
            transforms: [
                $module::transforms::<Tile2>(),
                $module::transforms::<Tile3>(),
                $module::transforms::<Tile4>(),
            ],
            max_pool: $module::max_pool,
            max_pool_halves: $module::max_pool_halves,
            max_pool_bytes: $module::max_pool_bytes,
            attention: $module::attention,
            peak: $module::peak,
            peak_halves: $module::peak_halves,
            peak_bytes: $module::peak_bytes,
        };
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(
    AVX512_BF16,
    avx512_bf16,
    Avx512,
    Avx512,
    Avx512Bf16,
    Avx512Vnni,
    #[target_feature(enable = "avx512f,avx512bf16,avx512vnni,fma")]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    AVX512_VNNI,
    avx512_vnni,
    Avx512,
    Avx512,
    Halves<Avx512>,
    Avx512Vnni,
    #[target_feature(enable = "avx512f,avx512vnni,fma")]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    AVX512,
    avx512,
    Avx512,
    Avx512,
    Halves<Avx512>,
    Avx512,
    #[target_feature(enable = "avx512f,fma")]
);
#[cfg(target_arch = "x86_64")]
kernels!(AVX2, avx2, Avx2, Avx2, Halves<Avx2>, Avx2, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "aarch64")]
kernels!(NEON, neon, Neon, Neon, Halves<Neon>, Neon);
kernels!(PORTABLE, portable, Portable, Portable, Halves<Portable>, Portable);

impl Kernels {
    /// Vectors of a group of output channels where so many channels are left.
    pub(super) fn vectors(&self, channels: usize) -> usize {
        channels.div_ceil(self.lanes).min(2)
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
