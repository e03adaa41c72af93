//! From a target to its place in the kernel, with real container engines.

mod containerd;
mod docker;
mod named;
mod own_cgroup;
mod podman;
mod support;
