//! The shared map layouts as aya takes them.

#![expect(
    unsafe_code,
    reason = "aya::Pod promises that a type is plain data, which only its author can know"
)]

use shaper_common::layout;

/// [`layout::Config`] in a map.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Config(pub(crate) layout::Config);

/// [`layout::Counters`] in a map.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Counters(pub(crate) layout::Counters);

// SAFETY: `repr(C)` integers without padding (three u64, an i32 and a u32): any bytes are a value.
unsafe impl aya::Pod for Config {}
// SAFETY: `repr(C)`, u64 throughout.
unsafe impl aya::Pod for Counters {}
