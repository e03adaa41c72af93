//! A small RTSP server: plays a video file in a loop as if it were a camera, and passes on what is pushed to it.
//!
//! Every access unit of a file carries its media time (the time inside the file) as a MISP time stamp,
//! so that whoever receives it can tell which picture of the file it is, in every round of the loop.
//! A push is passed on as it comes.
//!
//! # Layout
//!
//! - [`options`]: the command line.
//! - [`path`]: the path of a stream in its URL.
//! - [`relay`]: listens, serves each clip under its path, takes pushes, stops.
//! - `server`: the server's own kinds of connection and mount points.
//! - `media`: what every viewer's media is made of.
//!
//! Files:
//!
//! - [`clip`]: a file read once into memory as H.264 access units.
//! - [`misp`]: the time stamp (MISB ST 0604) inside an access unit.
//! - `reader`: takes the H.264 track out of an MP4 file.
//! - `player`: the thread that feeds one clip to its viewers at the clip's own pace.
//!
//! Pushes:
//!
//! - [`push`]: publishers, streams and their viewers.
//!
//! And [`plugins`]: which GStreamer elements are needed, and which package has a missing one.

pub mod clip;
mod media;
pub mod misp;
pub mod options;
pub mod path;
mod player;
pub mod plugins;
pub mod push;
mod reader;
pub mod relay;
mod server;

pub use clip::Clip;
pub use relay::Relay;
