//! What a layer needs to run.

use kernels::Kernels;

use super::memory::Shared;
use super::threads::Threads;

/// One run of a network on a batch of pictures. Arena and scratch are valid for its life, and nobody else's meanwhile.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) kernels: &'static Kernels,
    pub(super) threads: &'a mut Threads,
    /// The activations of all pictures.
    pub(super) arena: Shared,
    /// Room for each thread's own intermediate values, `scratch_each` of them.
    pub(super) scratch: Shared,
    pub(super) scratch_each: usize,
    /// Pictures.
    pub(super) batch: usize,
}
