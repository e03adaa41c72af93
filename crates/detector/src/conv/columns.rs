//! The inputs of a tile of output pixels, one column a pixel (im2col).

use super::Geometry;

/// One picture's channels, `[channels, height, width]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planes<'a> {
    pub(super) values: &'a [f32],
    pub(super) height: usize,
    pub(super) width: usize,
}

/// Gathers the inputs of the `tile` output pixels from `start` on (counted along rows) into `columns`,
/// `[geometry.depth(), tile]`; outside the picture lie zeros.
pub(super) fn gather(
    input: Planes<'_>,
    geometry: &Geometry,
    start: usize,
    tile: usize,
    columns: &mut Vec<f32>,
) {
    columns.resize(geometry.depth() * tile, 0.0);
    let taps = geometry.kernel * geometry.kernel;
    for (depth, row) in columns.chunks_exact_mut(tile).enumerate() {
        let (channel, tap) = (depth / taps, depth % taps);
        let plane = &input.values[channel * input.height * input.width..][..input.height * input.width];
        gather_tap(plane, input, geometry, (tap / geometry.kernel, tap % geometry.kernel), start, row);
    }
}

/// One row of the columns: the input value under the kernel's tap (`ky`, `kx`) for each output pixel.
fn gather_tap(
    plane: &[f32],
    Planes { height, width, .. }: Planes<'_>,
    geometry: &Geometry,
    (ky, kx): (usize, usize),
    start: usize,
    row: &mut [f32],
) {
    let (stride, padding) = (geometry.stride, geometry.padding());
    let output_width = geometry.output_length(width);
    // Output columns whose input column `x * stride + kx - padding` lies inside the picture.
    let inside_from = padding.saturating_sub(kx).div_ceil(stride);
    let inside_to = (width + padding).saturating_sub(kx).div_ceil(stride);
    let (mut y, mut x) = (start / output_width, start % output_width);
    let mut rest = row;
    while !rest.is_empty() {
        let (part, after) = rest.split_at_mut(rest.len().min(output_width - x));
        rest = after;
        let source_row = (y * stride + ky).checked_sub(padding).filter(|&row| row < height);
        let end = x + part.len();
        let (from, to) = (inside_from.clamp(x, end), inside_to.clamp(x, end));
        match source_row {
            Some(source_row) if from < to => {
                part[..from - x].fill(0.0);
                let source = &plane[source_row * width + from * stride + kx - padding..];
                let inside = &mut part[from - x..to - x];
                if stride == 1 {
                    inside.copy_from_slice(&source[..to - from]);
                } else {
                    for (value, &source) in inside.iter_mut().zip(source.iter().step_by(stride)) {
                        *value = source;
                    }
                }
                part[to - x..].fill(0.0);
            }
            _ => part.fill(0.0),
        }
        (y, x) = (y + 1, 0);
    }
}
