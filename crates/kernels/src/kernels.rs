//! The loops of one instruction set.

use crate::instruction_set::InstructionSet;
use crate::loops::{Attention, Direct, MaxPool, Outputs, Product, Taps};
use crate::storage::Storage;
use crate::table;

/// Values between neighbouring pixels of a register tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
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
    pub(crate) fn is_in_picture(self) -> bool {
        matches!(self, Self::Rgb | Self::TwoRgb)
    }

    pub(crate) fn is_two(self) -> bool {
        matches!(self, Self::TwoBlocks | Self::TwoRgb)
    }
}

/// The inner loops of one instruction set.
///
/// All are unsafe: they need the instruction set, and memory behind every pointer as their arguments describe it.
#[derive(Debug)]
pub struct Kernels {
    /// Which one that is.
    pub instruction_set: InstructionSet,
    /// Values of a pixel in a block, and channels of a vector.
    pub lanes: usize,
    /// Loops over numbers.
    pub numbers: Products,
    /// Loops over halves. The picture is no halves.
    pub halves: Products,
    /// Loops over bytes.
    pub bytes: Products,
    /// A product of Winograd's convolution: its vectors (1 or 2) and its tiles, no more than the largest register tile has
    /// pixels.
    pub product: unsafe fn(usize, usize, &Product),
    /// The same where inputs and weights are halves.
    pub product_halves: unsafe fn(usize, usize, &Product),
    /// Transforms for tiles of 2, 3 and 4 outputs an axis.
    pub transforms: [Transforms; 4],
    /// A row of maxima of numbers.
    pub max_pool: unsafe fn(&MaxPool),
    /// The same of halves.
    pub max_pool_halves: unsafe fn(&MaxPool),
    /// The same of bytes.
    pub max_pool_bytes: unsafe fn(&MaxPool),
    /// A pixel of an attention.
    pub attention: unsafe fn(&Attention),
}

/// Loops over products of one kind of values.
#[derive(Debug)]
pub struct Products {
    /// Whether the instruction set has one for their sums: then what is smaller is faster.
    pub is_one_instruction: bool,
    /// The largest register tile.
    pub tile: usize,
    /// A register tile of a convolution: its step, its vectors (1 or 2) and its pixels.
    pub direct: unsafe fn(Step, usize, usize, &Direct<'_>),
    /// So many rounds of multiplications and additions in registers, and how many those were.
    pub peak: unsafe fn(usize) -> usize,
}

/// The transforms of one size of tile.
#[derive(Debug, Clone, Copy)]
pub struct Transforms {
    /// Weights at a row of points, the number of which comes first.
    pub taps: unsafe fn(usize, &Taps),
    /// Input, the distance of its rows, output, the distance of the points.
    pub inputs: unsafe fn(*const f32, usize, *mut f32, usize),
    /// The same where both are halves.
    pub inputs_halves: unsafe fn(*const f32, usize, *mut f32, usize),
    /// The same from bytes, of which this one stands for 0 and neighbours are 1 apart, to halves.
    pub inputs_bytes: unsafe fn(*const f32, usize, *mut f32, usize, f32),
    /// From products to outputs, whatever the outputs are stored as.
    pub outputs: unsafe fn(&Outputs),
}

impl Kernels {
    /// Vectors of a group of output channels where so many channels are left.
    pub fn vectors(&self, channels: usize) -> usize {
        channels.div_ceil(self.lanes).min(2)
    }

    /// Those of values that are stored in such a way.
    pub fn products(&self, storage: Storage) -> &Products {
        match storage {
            Storage::Numbers => &self.numbers,
            Storage::Halves => &self.halves,
            Storage::Bytes(_) => &self.bytes,
        }
    }

    /// The fastest kernels of an instruction set, or of all, that this processor can run.
    pub fn chosen(instruction_set: Option<InstructionSet>) -> Option<&'static Self> {
        let is_wanted =
            |kernels: &&Self| instruction_set.is_none_or(|wanted| wanted == kernels.instruction_set);
        Self::available().into_iter().find(is_wanted)
    }

    /// The kernels that this processor can run, the fastest first.
    pub fn available() -> Vec<&'static Self> {
        table::available()
    }
}
