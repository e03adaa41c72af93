//! Token-bucket arithmetic and map layouts, the same source on both sides of the kernel boundary.
