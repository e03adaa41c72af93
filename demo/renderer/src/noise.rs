//! A tile of fractal value noise, made once; textures look it up at several scales.

use std::sync::OnceLock;

use crate::rng::Rng;

/// Side of the tile, in texels.
const SIDE: usize = 512;

/// Length of a stored row: the first texel again at its end, as the first row is again at the bottom.
const PITCH: usize = SIDE + 1;

/// Stored steps of one unit of noise: bytes keep the tile within a processor's second cache.
const STEPS: f32 = 80.0;

static TILE: OnceLock<Vec<i8>> = OnceLock::new();

/// Fractal noise with mean 0 and a range of about -1..=1.
///
/// The tile repeats every 1.0 in both directions and has detail down to a 256th of that.
#[inline]
pub fn noise(u: f32, v: f32) -> f32 {
    let tile = TILE.get_or_init(make_tile);
    // Fixed point with 8 bits of fraction: wraps by masking, without a call to `floor`.
    let (x, y) = ((u * (SIDE * 256) as f32) as i32, (v * (SIDE * 256) as f32) as i32);
    let (fx, fy) = ((x & 255) as f32 * (1.0 / 256.0), (y & 255) as f32 * (1.0 / 256.0));
    let (left, top) = ((x >> 8) as usize & (SIDE - 1), (y >> 8) as usize & (SIDE - 1));
    let first = top * PITCH + left;
    let Some([a, b]) = tile.get(first..first + 2) else { return 0.0 };
    let Some([c, d]) = tile.get(first + PITCH..first + PITCH + 2) else { return 0.0 };
    let [a, b, c, d] = [a, b, c, d].map(|step| f32::from(*step));
    let (upper, lower) = (a + (b - a) * fx, c + (d - c) * fx);
    (upper + (lower - upper) * fy) * (1.0 / STEPS)
}

fn make_tile() -> Vec<i8> {
    let mut tile = vec![0.0; PITCH * PITCH];
    let mut rng = Rng::new(0x005E_ED0F_D127, 0);
    let mut weight = 0.5;
    for octave in 2..9 {
        let cells = 1usize << octave;
        let lattice: Vec<f32> = (0..cells * cells).map(|_| rng.range(-1.0, 1.0)).collect();
        let step = SIDE / cells;
        for y in 0..PITCH {
            for x in 0..PITCH {
                let ease = |value: usize| {
                    let f = (value % step) as f32 / step as f32;
                    f * f * (3.0 - 2.0 * f)
                };
                let (cx, cy) = (x / step, y / step);
                let at = |x: usize, y: usize| lattice[(y % cells) * cells + x % cells];
                let upper = at(cx, cy) + (at(cx + 1, cy) - at(cx, cy)) * ease(x);
                let lower = at(cx, cy + 1) + (at(cx + 1, cy + 1) - at(cx, cy + 1)) * ease(x);
                tile[y * PITCH + x] += weight * (upper + (lower - upper) * ease(y));
            }
        }
        weight *= 0.72;
    }
    tile.into_iter().map(|value: f32| (value * STEPS).round() as i8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tile_repeats_without_a_seam() {
        assert!((noise(0.3, 0.7) - noise(1.3, -0.3)).abs() < 1e-3);
        assert!((noise(0.99999, 0.5) - noise(1.00001, 0.5)).abs() < 0.05);
        assert!(noise(0.2, 0.1) != noise(0.4, 0.1));
    }
}
