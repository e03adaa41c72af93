//! Debian's packages, without installing any: which there are, and what is in them.
//!
//! # Layout
//!
//! - `mirrors`: where they come from
//! - `apt`: fetching them
//! - `deb`: what is in the file of one

pub(crate) mod apt;
pub(crate) mod deb;
mod mirrors;
