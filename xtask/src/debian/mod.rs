//! Debian's packages, without installing any: which there are, and what is in them.
//!
//! # Layout
//!
//! - `mirrors`: where they come from
//! - `apt`: fetching them

pub(crate) mod apt;
mod mirrors;
