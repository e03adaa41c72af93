//! The ground: soil, sand, gravel, concrete or asphalt with stains, tracks and puddles.

use crate::material::fraction;
use crate::noise::noise;
use crate::rng::Rng;
use crate::vector::{Vec3, rgb, vec3};

/// A textured plane at height zero.
#[derive(Clone, Copy, Debug)]
pub struct Ground {
    /// The two surfaces.
    pub colours: [Vec3; 2],
    /// Strength of the fine grain of each.
    pub grain: [f32; 2],
    /// How much of the second surface there is, -1..=1.
    pub share: f32,
    /// Where the textures start.
    pub offset: Vec3,
    /// Side of concrete slabs in metres; zero for none.
    pub slabs: f32,
    /// How much water stands on it, 0..=1.
    pub wet: f32,
    /// The place across the site and the slope of wheel tracks; their strength.
    pub tracks: [f32; 3],
}

impl Ground {
    /// A random ground.
    pub fn random(rng: &mut Rng) -> Ground {
        let kinds = [
            (rgb(121, 96, 72), 0.50),
            (rgb(150, 124, 92), 0.40),
            (rgb(96, 82, 68), 0.50),
            (rgb(184, 162, 124), 0.28),
            (rgb(140, 136, 130), 0.60),
            (rgb(118, 116, 114), 0.60),
            (rgb(172, 170, 164), 0.20),
            (rgb(150, 150, 148), 0.22),
            (rgb(84, 84, 86), 0.25),
            (rgb(112, 118, 78), 0.55),
        ];
        let (first, second) = (rng.below(kinds.len()), rng.below(kinds.len()));
        let vary = |rng: &mut Rng, colour: Vec3| {
            colour * rng.range(0.75, 1.2)
                + vec3(rng.range(0.0, 0.02), rng.range(0.0, 0.02), rng.range(0.0, 0.02))
        };
        let (one, other) = (vary(rng, kinds[first].0), vary(rng, kinds[second].0));
        let paved = (6..9).contains(&first);
        Ground {
            colours: [one, one.mix(other, 0.65)],
            grain: [kinds[first].1, kinds[second].1],
            share: rng.range(-0.6, 0.3),
            offset: vec3(rng.range(0.0, 50.0), 0.0, rng.range(0.0, 50.0)),
            slabs: if paved && rng.chance(0.6) { rng.range(2.0, 5.0) } else { 0.0 },
            wet: if rng.chance(0.3) { rng.range(0.2, 0.8) } else { 0.0 },
            tracks: [
                rng.range(-6.0, 6.0),
                rng.range(-0.6, 0.6),
                if paved { 0.1 } else { rng.range(0.0, 0.5) },
            ],
        }
    }

    /// The colour and the mirror strength (0..=1) at a place, where a pixel covers `footprint` metres.
    pub fn at(&self, place: Vec3, footprint: f32) -> (Vec3, f32) {
        let (x, z) = (place.x + self.offset.x, place.z + self.offset.z);
        let broad = noise(x * 0.017, z * 0.017);
        let fade = (1.25 - footprint * 5.0).clamp(0.0, 1.0);
        let middle = noise(x * 0.083 + 0.21 * z * 0.083, z * 0.083 - 0.021 * x);
        let fine = if fade > 0.0 {
            let close = (1.3 - footprint * 35.0).clamp(0.0, 1.0);
            let grit = if close > 0.0 { noise(z * 0.71, x * 0.71) * close } else { 0.0 };
            middle * 0.55 * fade + grit * 0.8
        } else {
            0.0
        };
        let mask = ((broad * 1.6 + middle * 0.5 + self.share) * 3.0 + 0.5).clamp(0.0, 1.0);
        let grain = self.grain[0] + (self.grain[1] - self.grain[0]) * mask;
        let mut tone = 1.0 + grain * fine + 0.28 * broad;
        let [across, slope, strength] = self.tracks;
        if strength > 0.0 {
            let off = place.x - across - slope * place.z + 0.8 * broad;
            let wheel = (1.0 - (off.abs() - 0.9).abs() * 3.2).clamp(0.0, 1.0);
            tone *= 1.0 - strength * wheel * (0.75 + 0.5 * middle);
        }
        if self.slabs > 0.0 {
            let joint = |value: f32| {
                let place = fraction(value / self.slabs);
                let gap = place.min(1.0 - place) * self.slabs;
                (1.0 - (gap - 0.012) / footprint.max(0.012)).clamp(0.0, 1.0) * (0.024 / footprint).min(1.0)
            };
            tone *= 1.0 - 0.45 * joint(x).max(joint(z)) * (1.0 - mask);
        }
        let colour = self.colours[0].mix(self.colours[1], mask) * tone.max(0.25);
        if self.wet > 0.0 {
            let pool = ((-broad - 0.62 + 0.5 * self.wet + 0.25 * middle) * 5.0).clamp(0.0, 1.0);
            return (colour * (1.0 - 0.45 * pool), pool);
        }
        (colour, 0.0)
    }
}
