//! What the processor and its memory can do at most.

use std::hint::black_box;
use std::time::Instant;

use super::threads::Threads;

/// What is read, in bytes: more than caches hold.
const READ: usize = 256 << 20;
/// Of each task.
const PART: usize = 1 << 20;

/// What a thread does in a loop of multiplications and additions in registers, a second.
pub(super) fn arithmetic(kernel: unsafe fn(usize) -> usize) -> f64 {
    const ROUNDS: usize = 2_000_000;
    best(|| {
        #[expect(unsafe_code, reason = "a kernel")]
        // SAFETY: the program's kernels are those of this processor.
        unsafe {
            kernel(ROUNDS)
        }
    })
}

/// Bytes a second that all threads together read from memory.
pub(super) fn reading(threads: &mut Threads) -> f64 {
    let words = vec![1u64; READ / size_of::<u64>()];
    let parts: Vec<&[u64]> = words.chunks(PART / size_of::<u64>()).collect();
    best(|| {
        threads.run(parts.len(), &|part, _| {
            // Sums that do not wait for each other.
            let mut sums = [0u64; 16];
            for words in parts[part].as_chunks::<16>().0 {
                sums.iter_mut().zip(words).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
            }
            black_box(sums);
        });
        READ
    })
}

/// How much of something is done a second, by the best of a few times: anything else on the machine only takes away.
fn best(mut work: impl FnMut() -> usize) -> f64 {
    let mut rate = || {
        let begin = Instant::now();
        let done = work();
        done as f64 / begin.elapsed().as_secs_f64()
    };
    (0..5).map(|_| rate()).fold(0.0, f64::max)
}
