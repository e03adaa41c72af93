//! The images in a real engine.

mod inside;
mod seed;
mod shaper;
mod support;
mod uploader;
