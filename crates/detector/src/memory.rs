//! Memory that is free, given back to the system.
#![cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "the C library's allocator is told by a call of its own")
)]

/// Has the allocator give the system the memory back that nothing is kept in. Takes milliseconds.
///
/// For when a model has been dropped: its weights are many pieces of a size that glibc's allocator keeps for later, so
/// that a program that changes its model now and then would come to hold three of them. Does nothing with other C
/// libraries.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no pointers are passed, and only pages that hold no allocation are given back; the allocator locks each of
    // its arenas meanwhile (https://sourceware.org/git/?p=glibc.git;a=blob;f=malloc/malloc.c, `__malloc_trim`).
    let _whether_any_was = unsafe { libc::malloc_trim(0) };
}
