//! Attaches, steers and reports the eBPF token bucket that limits a container's upload.

fn main() {}
