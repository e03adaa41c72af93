//! Models in other programs' forms against those programs: `fixtures` holds models and what was found with them, and what
//! made both.

mod darknet;
mod onnx;
mod support;
mod tensorflow;
