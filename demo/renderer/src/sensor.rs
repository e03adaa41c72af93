//! The camera's sensor: exposure, white balance, vignette, tone curve, blur and noise.

use std::sync::OnceLock;

use image::RgbImage;

use crate::rng::Rng;
use crate::vector::{Vec3, vec3};

/// Steps of the tone curve's table.
const STEPS: usize = 2048;
/// The linear brightness at which the tone curve's table ends.
const WHITEST: f32 = 4.0;
/// Length of the table of Gaussian noise.
const GRAINS: usize = 1 << 16;

static TONES: OnceLock<Vec<f32>> = OnceLock::new();
static NOISE: OnceLock<Vec<f32>> = OnceLock::new();

/// How the sensor turns light into a picture.
#[derive(Clone, Copy, Debug)]
pub struct Sensor {
    /// Factor on the light before the tone curve.
    pub exposure: f32,
    /// Factors on red, green and blue.
    pub balance: Vec3,
    /// How much darker the corners are, 0..=1.
    pub vignette: f32,
    /// Deviation of the noise, in steps of 0..=255.
    pub noise: f32,
    /// Strength of the blur: the weight of each neighbour in a row and in a column, 0..=0.33.
    pub blur: f32,
    /// Colour strength; one keeps it.
    pub saturation: f32,
    /// Which noise pattern.
    pub seed: u64,
}

impl Sensor {
    /// A sensor that changes nothing but the exposure.
    pub fn clean(exposure: f32) -> Sensor {
        Sensor {
            exposure,
            balance: vec3(1.0, 1.0, 1.0),
            vignette: 0.1,
            noise: 0.0,
            blur: 0.0,
            saturation: 1.0,
            seed: 0,
        }
    }

    /// A random sensor; `dark` brings more noise.
    pub fn random(exposure: f32, dark: bool, rng: &mut Rng) -> Sensor {
        let tint = rng.normal() * 0.06;
        Sensor {
            exposure,
            balance: vec3(1.0 + tint, 1.0 + rng.normal() * 0.02, 1.0 - tint),
            vignette: rng.range(0.0, 0.35),
            noise: if dark { rng.range(1.0, 7.0) } else { rng.range(0.0, 3.5) },
            blur: if rng.chance(0.6) { rng.range(0.0, 0.28) } else { 0.0 },
            saturation: rng.range(0.75, 1.2),
            seed: rng.bits(),
        }
    }

    /// The exposure that brings the mean brightness of a picture to `target`, bright parts counting less.
    pub fn meter(light: &[Vec3], target: f32) -> f32 {
        let step = 97;
        let sum: f32 = light.iter().step_by(step).map(|colour| colour.luminance().min(1.5)).sum();
        let mean = sum / (light.len() / step).max(1) as f32;
        target / mean.max(1e-3)
    }

    /// Takes the picture: linear light, row by row, to sRGB.
    pub fn take(&self, light: &[Vec3], width: usize, height: usize) -> RgbImage {
        let tones = TONES.get_or_init(make_tones);
        let grains = NOISE.get_or_init(make_noise);
        let mut rng = Rng::new(self.seed, 1);
        let mut bytes = vec![0u8; width * height * 3];
        let scale = (STEPS - 1) as f32 / WHITEST.sqrt();
        let (cx, cy) = (0.5 * width as f32, 0.5 * height as f32);
        let corner = 1.0 / (cx * cx + cy * cy);
        for (row, (line, out)) in light.chunks_exact(width).zip(bytes.chunks_exact_mut(width * 3)).enumerate()
        {
            let start = rng.below(GRAINS - 3 * width);
            let grains = &grains[start..start + 3 * width];
            let down = (row as f32 - cy).powi(2);
            for (column, (colour, (out, grain))) in
                line.iter().zip(out.chunks_exact_mut(3).zip(grains.chunks_exact(3))).enumerate()
            {
                let far = ((column as f32 - cx).powi(2) + down) * corner;
                let colour = colour.times(self.balance) * (self.exposure * (1.0 - self.vignette * far));
                let grey = colour.luminance();
                let colour = vec3(grey, grey, grey).mix(colour, self.saturation);
                // Mostly brightness noise, a little of it in each colour.
                let shared = grain[0] * self.noise;
                for (index, value) in [colour.x, colour.y, colour.z].into_iter().enumerate() {
                    let tone = tones[((value.max(0.0).sqrt() * scale) as usize).min(STEPS - 1)];
                    out[index] = (tone + shared + 0.45 * self.noise * grain[index] + 0.5) as u8;
                }
            }
        }
        if self.blur > 0.01 {
            blur(&mut bytes, width, height, self.blur);
        }
        RgbImage::from_raw(width as u32, height as u32, bytes)
            .unwrap_or_else(|| RgbImage::new(width as u32, height as u32))
    }
}

/// A film-like curve (Narkowicz' fit of ACES) followed by the sRGB gamma.
fn make_tones() -> Vec<f32> {
    (0..STEPS)
        .map(|step| {
            let root = step as f32 / (STEPS - 1) as f32;
            let x = root * root * WHITEST * 0.8;
            let toned = (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14);
            toned.clamp(0.0, 1.0).powf(1.0 / 2.2) * 255.0
        })
        .collect()
}

fn make_noise() -> Vec<f32> {
    let mut rng = Rng::new(0x00CA_3E7A, 0);
    (0..GRAINS).map(|_| rng.normal()).collect()
}

/// Blurs with the weights (side, 1 - 2 side, side), along rows and then along columns.
fn blur(bytes: &mut [u8], width: usize, height: usize, side: f32) {
    let edge = (side * 256.0) as u16;
    let middle = 256 - 2 * edge;
    let mix = |a: u8, b: u8, c: u8| {
        ((u16::from(a) * edge + u16::from(b) * middle + u16::from(c) * edge + 128) >> 8) as u8
    };
    let pitch = width * 3;
    let mut line = vec![0u8; pitch];
    for row in bytes.chunks_exact_mut(pitch) {
        line.copy_from_slice(row);
        for at in 3..pitch - 3 {
            row[at] = mix(line[at - 3], line[at], line[at + 3]);
        }
    }
    let mut above = bytes[..pitch].to_vec();
    for row in 1..height - 1 {
        line.copy_from_slice(&bytes[row * pitch..(row + 1) * pitch]);
        let (current, below) = bytes[row * pitch..(row + 2) * pitch].split_at_mut(pitch);
        for at in 0..pitch {
            current[at] = mix(above[at], line[at], below[at]);
        }
        std::mem::swap(&mut above, &mut line);
    }
}
