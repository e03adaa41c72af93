//! What the targets for files share: inputs that stand for model files, and a bound on memory.
//!
//! Model files are large, most of them weights, and a fuzzer's input is best short. So an input is either a file, or a few
//! bytes to change in one of `models`, whose layers have hardly a channel.

use std::alloc::System;

use cap::Cap;

/// Fails allocations above a limit, which ends the program with the input at hand.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What reading a file may take in memory, besides twice its size, in bytes.
const MEMORY: usize = 64 << 20;

/// Runs `read` on a file with at most twice its size and 64 MB of memory.
///
/// # Panics
///
/// If the limit cannot be set.
pub fn bounded(file: &[u8], read: impl FnOnce(&[u8])) {
    let limit = ALLOCATOR.allocated() + 2 * file.len() + MEMORY;
    ALLOCATOR.set_limit(limit).expect("a limit above what is in use");
    read(file);
    ALLOCATOR.set_limit(usize::MAX).expect("no limit");
}

/// The file that an input stands for: what comes after a first byte of 0, or else one of `whole` with a byte changed for
/// each four of the input, three for the position and one for the value.
pub fn file(input: &[u8], whole: &[&[u8]]) -> Vec<u8> {
    let Some((&first, rest)) = input.split_first() else { return Vec::new() };
    let Some(template) = usize::from(first).checked_sub(1) else { return rest.to_vec() };
    let mut file = whole[template % whole.len()].to_vec();
    for &[a, b, c, value] in rest.as_chunks().0 {
        let position = u32::from_be_bytes([0, a, b, c]) as usize;
        let length = file.len();
        file[position % length] = value;
    }
    file
}
