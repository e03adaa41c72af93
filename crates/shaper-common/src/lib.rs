//! Token-bucket arithmetic and map layouts, the same source on both sides of the kernel boundary.
//!
//! # Layout
//!
//! - [`bucket`]: the token bucket as pure arithmetic, and its update by compare-and-swap
//! - [`wire`]: how many bytes a packet takes on the wire, and what class of packet it is
//! - [`layout`]: what the maps hold that the kernel program and the agent share
//! - [`units`] (feature `user`): rates, sizes and times as `tc` reads and prints them

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "user")]
extern crate std;

pub mod bucket;
pub mod layout;
#[cfg(feature = "user")]
pub mod units;
pub mod wire;
