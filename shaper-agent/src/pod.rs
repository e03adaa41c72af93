//! The shared map layouts as aya takes them.

#![expect(
    unsafe_code,
    reason = "aya::Pod promises that a type is plain data, which only its author can know"
)]

use shaper_common::layout;

/// [`layout::Key`] in a map.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Key(pub(crate) layout::Key);

/// [`layout::Config`] in a map.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Config(pub(crate) layout::Config);

/// [`layout::State`] in a map.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct State(pub(crate) layout::State);

/// [`layout::Counters`] in a map.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Counters(pub(crate) layout::Counters);

/// [`layout::Paced`] in a map.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Paced(layout::Paced);

// SAFETY: `repr(C)`, two u32.
unsafe impl aya::Pod for Key {}
// SAFETY: `repr(C)` integers without padding: u64 words, and u32 and i32 in pairs.
unsafe impl aya::Pod for Config {}
// SAFETY: `repr(C)`, u64 throughout.
unsafe impl aya::Pod for State {}
// SAFETY: `repr(C)`, u64 throughout.
unsafe impl aya::Pod for Counters {}
// SAFETY: `repr(C)`, four u32.
unsafe impl aya::Pod for Paced {}
