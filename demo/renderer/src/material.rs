//! What surfaces look like: colour, pattern, grain and gloss.

use crate::noise::noise;
use crate::vector::{UP, Vec3, vec3};

/// A surface.
#[derive(Clone, Copy, Debug)]
pub struct Material {
    /// Linear colour.
    pub colour: Vec3,
    /// A second colour laid over the first.
    pub pattern: Pattern,
    /// Strength of the dirt and weave, 0..=1.
    pub grain: f32,
    /// Strength of the highlight, 0..=1.
    pub gloss: f32,
    /// Light that the surface gives off itself, as a multiple of its colour.
    pub glow: f32,
}

/// Where the second colour lies.
#[derive(Clone, Copy, Debug)]
pub enum Pattern {
    /// Nowhere.
    Plain,
    /// Reflecting bands of a vest: two rings along `up` and two braces beside the middle.
    Vest {
        /// The vest's origin, in the pelvis.
        origin: Vec3,
        /// Along the trunk.
        up: Vec3,
        /// To the wearer's side.
        side: Vec3,
        /// The bands' colour.
        second: Vec3,
    },
    /// Rings at two heights above `origin`: traffic cones, barrels, trouser legs.
    Rings {
        /// Where heights are counted from.
        origin: Vec3,
        /// The axis, of length one.
        up: Vec3,
        /// From and to, in metres, of each ring.
        rings: [[f32; 2]; 2],
        /// The rings' colour.
        second: Vec3,
    },
    /// Slanted or upright stripes: barriers, hazard boards, corrugated sheet.
    Stripes {
        /// Length of one repeat, in metres.
        period: f32,
        /// The share of the second colour.
        share: f32,
        /// Metres sideways for a metre upwards.
        slant: f32,
        /// The stripes' colour.
        second: Vec3,
    },
    /// A grid of rectangles: windows, bricks, formwork.
    Grid {
        /// Width and height of a cell, in metres.
        cell: [f32; 2],
        /// The share of the cell that the rectangle takes, in both directions.
        share: [f32; 2],
        /// The rectangles' colour.
        second: Vec3,
    },
}

impl Material {
    /// A surface of one colour, a little worn and dull.
    pub fn plain(colour: Vec3) -> Material {
        Material { colour, pattern: Pattern::Plain, grain: 0.15, gloss: 0.05, glow: 0.0 }
    }

    /// The same with a pattern.
    pub fn with(self, pattern: Pattern) -> Material {
        Material { pattern, ..self }
    }

    /// The same with another gloss.
    pub fn glossy(self, gloss: f32) -> Material {
        Material { gloss, ..self }
    }

    /// The same with another grain.
    pub fn grainy(self, grain: f32) -> Material {
        Material { grain, ..self }
    }

    /// The colour at a point of the surface, seen where a pixel covers `footprint` metres.
    ///
    /// `local` is the same point from the shape's middle: textures move with the shape.
    pub fn colour_at(&self, point: Vec3, local: Vec3, normal: Vec3, footprint: f32) -> Vec3 {
        let mut colour = self.colour;
        let flat = || {
            let tangent = UP.cross(normal);
            if tangent.dot(tangent) > 0.01 {
                (local.dot(tangent.normalized()), local.y)
            } else {
                (local.x, local.z)
            }
        };
        match self.pattern {
            Pattern::Plain => {}
            Pattern::Vest { origin, up, side, second } => {
                let local = point - origin;
                let (height, across) = (local.dot(up), local.dot(side).abs());
                let rings = inside(height, 0.06, 0.11, footprint) + inside(height, 0.20, 0.25, footprint);
                let braces = inside(across, 0.085, 0.13, footprint) * inside(height, 0.25, 0.9, footprint);
                colour = colour.mix(second, rings.max(braces).min(1.0));
            }
            Pattern::Rings { origin, up, rings, second } => {
                let height = (point - origin).dot(up);
                let share: f32 = rings.iter().map(|ring| inside(height, ring[0], ring[1], footprint)).sum();
                colour = colour.mix(second, share.min(1.0));
            }
            Pattern::Stripes { period, share, slant, second } => {
                let (u, v) = flat();
                colour = colour.mix(second, repeat((u + v * slant) / period, share, footprint / period));
            }
            Pattern::Grid { cell, share, second } => {
                let (u, v) = flat();
                let across = repeat(u / cell[0], share[0], footprint / cell[0]);
                let down = repeat(v / cell[1], share[1], footprint / cell[1]);
                colour = colour.mix(second, across * down);
            }
        }
        if self.grain > 0.0 {
            // One slanted projection serves all faces; few surfaces run along the direction that it loses.
            let (u, v) = (local.x + 0.62 * local.z, local.y + 0.47 * local.x - 0.33 * local.z);
            let coarse = noise(u * 0.21, v * 0.23);
            let fade = (1.2 - footprint * 25.0).clamp(0.0, 1.0);
            let fine = if fade > 0.0 { noise(u * 1.7 + 0.3, v * 1.6) * fade } else { 0.0 };
            colour = colour * (1.0 + self.grain * (0.9 * coarse + 0.6 * fine)).max(0.2);
        }
        colour
    }
}

/// How much of a pixel around `value` lies between the limits.
fn inside(value: f32, low: f32, high: f32, footprint: f32) -> f32 {
    let edge = |limit: f32| ((value - limit) / footprint.max(1e-4) + 0.5).clamp(0.0, 1.0);
    edge(low) - edge(high)
}

/// How much of a pixel lies in the second part of a repeat; `footprint` and `value` are in repeats.
fn repeat(value: f32, share: f32, footprint: f32) -> f32 {
    let place = fraction(value);
    let sharp = inside(place, 0.5 - 0.5 * share, 0.5 + 0.5 * share, footprint);
    // Repeats finer than the pixels become their mean.
    let fade = (footprint * 2.0 - 0.6).clamp(0.0, 1.0);
    sharp + (share - sharp) * fade
}

/// The part of a value after the whole number below it.
pub fn fraction(value: f32) -> f32 {
    let rest = value - value as i32 as f32;
    if rest < 0.0 { rest + 1.0 } else { rest }
}

/// A grey of the given linear brightness.
pub const fn grey(level: f32) -> Vec3 {
    vec3(level, level, level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_patterns_fade_to_their_mean() {
        assert!((repeat(0.37, 0.4, 5.0) - 0.4).abs() < 1e-6);
        assert_eq!(repeat(0.5, 0.4, 0.001), 1.0);
        assert_eq!(repeat(0.1, 0.4, 0.001), 0.0);
    }
}
