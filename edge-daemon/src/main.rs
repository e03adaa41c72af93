//! Video in, little model, hard-example mining, uplink, results.

fn main() {}
