//! Renders construction-site scenes with exact ground truth: training pictures and the demo clip.

fn main() {}
