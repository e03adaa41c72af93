//! Token-bucket arithmetic and map layouts, the same source on both sides of the kernel boundary.
//!
//! # Layout
//!
//! - [`bucket`]: the token bucket as pure arithmetic, and its update by compare-and-swap
//! - [`dropper`]: which packets a policer drops, so that it drops few
//! - [`flow`]: phantom buckets, by which the active flows share the rate
//! - [`limiter`]: the decision about one packet: what it owes, whether it goes, and when
//! - [`pacing`]: how fast a sender may be told to go, so that a policer has nothing to drop
//! - [`wire`]: how many bytes a packet takes on the wire, and what class of packet it is
//! - [`layout`]: what the maps hold that the kernel program and the agent share
//! - [`parameters`] (feature `user`): a limiter from what a user asks for
//! - [`units`] (feature `user`): rates, sizes and times as `tc` reads and prints them

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "user")]
extern crate std;

pub mod bucket;
pub mod dropper;
pub mod flow;
pub mod layout;
pub mod limiter;
pub mod pacing;
#[cfg(feature = "user")]
pub mod parameters;
#[cfg(feature = "user")]
pub mod units;
pub mod wire;
