//! Every chore as `cargo xtask …`: run-all, test, setup, build-ebpf, train-demo, render-demo.
