//! Answers `POST /infer` with the big model's detections.
//!
//! # The path of a request
//!
//! 1. [`server`] accepts the connection (bounded in number) and hands its requests to [`router`].
//! 2. [`upload`] reads the body, within a size, a time and a shared memory limit.
//! 3. [`admission`] takes it in, or refuses it at once: too many waiting, or its deadline cannot be met.
//! 4. [`decoding`] checks the size that the header names, then decodes, on a blocking thread
//!    ([`detector::picture`]).
//! 5. [`worker`], the one thread that runs the model, takes what is waiting as a batch, as far as that pays ([`batching`]),
//!    and answers.
//! 6. [`router`] writes the reply. Whatever is refused on the way is a [`refusal`]: an RFC 9457 problem.
//!
//! The model itself is brought by [`keeper`], from where it is to a loaded [`model`].
//!
//! Besides: [`options`] is the command line, [`metrics`] counts what `/metrics` shows.

pub mod admission;
pub mod batching;
pub mod decoding;
pub mod keeper;
pub mod metrics;
pub mod model;
pub mod options;
pub mod refusal;
pub mod router;
pub mod server;
pub mod upload;
pub mod worker;
