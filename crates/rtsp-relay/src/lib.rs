//! A small RTSP server: plays a video file in a loop as if it were a camera.
//!
//! Every access unit that leaves it carries its media time (the time inside the file) as a MISP time stamp,
//! so that whoever receives it can tell which picture of the file it is, in every round of the loop.
//!
//! # Layout
//!
//! - [`options`]: the command line.
//! - [`clip`]: a file read once into memory as H.264 access units.
//! - [`misp`]: the time stamp (MISB ST 0604) inside an access unit.
//! - [`plugins`]: which GStreamer elements are needed, and which package has a missing one.
//! - [`relay`]: the server: listens, serves each clip under its path, stops.
//! - `reader`: takes the H.264 track out of an MP4 file.
//! - `player`: the thread that feeds one clip to its viewers at the clip's own pace.

pub mod clip;
pub mod misp;
pub mod options;
mod player;
pub mod plugins;
mod reader;
pub mod relay;

pub use clip::Clip;
pub use relay::Relay;
