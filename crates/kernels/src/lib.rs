//! The inner loops of networks on a CPU: convolutions, directly and by Winograd's form, maxima and attention, on numbers,
//! halves and bytes. They are written once, compiled for each instruction set, and chosen when they run.
//!
//! # Layout
//!
//! - [`Kernels`]: the loops of one instruction set, as functions; `table`: how they are made
//! - `loops`: the loops themselves, over vectors of any kind
//! - `simd`: the vectors of each instruction set
//! - [`Storage`], [`Activation`] and their like: what the loops are told of values and layers

mod instruction_set;
mod kernels;
mod layer;
mod loops;
mod simd;
mod storage;
mod table;

pub use instruction_set::{InstructionSet, UnknownInstructionSet};
pub use kernels::{Kernels, Products, Step, Transforms};
pub use layer::{Activation, Residual, Window};
pub use loops::{
    Attention, Direct, Epilogue, MaxPool, Outputs, Product, Taps, Tile, Tile2, Tile3, Tile4, Tile6, weights,
};
pub use simd::{MOST_BYTES, pair};
pub use storage::{Quantization, Storage};

/// Values of a cache line, which is also the widest vector.
pub const LINE: usize = 16;
