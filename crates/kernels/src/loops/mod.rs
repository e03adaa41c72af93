//! The inner loops, written once for every instruction set.

#[macro_use]
mod tiles;
pub(crate) mod attention;
pub(crate) mod direct;
pub(crate) mod epilogue;
pub(crate) mod peak;
pub(crate) mod pool;
pub(crate) mod product;
pub(crate) mod winograd;

pub use attention::Attention;
pub use direct::Direct;
pub use epilogue::Epilogue;
pub use pool::MaxPool;
pub use product::Product;
pub use winograd::{Outputs, Taps, Tile, Tile2, Tile3, Tile4, Tile6, weights};
