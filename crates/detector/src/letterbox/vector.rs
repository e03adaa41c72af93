//! The loops over pixels, compiled for the vector instructions that processors may have.
#![expect(unsafe_code, reason = "functions for processors that have an instruction set")]

use super::scaled::{self, Column, Row, Value};

/// Scales a row across.
pub(super) fn across<V: Value>(row: &mut Row<'_>, columns: &[Column], values: &mut [V]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::across(row, columns, values) };
    }
    scaled::across(row, columns, values);
}

/// Blends two rows by their shares into `pixels`.
pub(super) fn blend<V: Value>(first: &[V], second: &[V], shares: [f32; 2], pixels: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::blend(first, second, shares, pixels) };
    }
    V::blend(first, second, shares, pixels);
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::*;

    #[target_feature(enable = "avx2")]
    pub(super) fn across<V: Value>(row: &mut Row<'_>, columns: &[Column], values: &mut [V]) {
        scaled::across(row, columns, values);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn blend<V: Value>(first: &[V], second: &[V], shares: [f32; 2], pixels: &mut [f32]) {
        V::blend(first, second, shares, pixels);
    }
}
