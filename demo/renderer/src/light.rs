//! Sun, sky, haze and exposure.

use crate::noise::noise;
use crate::rng::Rng;
use crate::vector::{Vec3, vec3};

/// The weather and the hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Clear sky, the sun from the side or from behind the camera.
    Sun,
    /// A grey sky without shadows.
    Overcast,
    /// Little light, blue or orange.
    Dusk,
    /// A low sun in front of the camera.
    Backlight,
    /// Fog or dust.
    Haze,
}

/// How a scene is lit.
#[derive(Clone, Copy, Debug)]
pub struct Light {
    /// The direction towards the sun, of length one.
    pub to_sun: Vec3,
    /// The sun's light.
    pub sun: Vec3,
    /// The sky's light from above.
    pub sky: Vec3,
    /// The light that the ground throws back from below.
    pub bounce: Vec3,
    /// Colours of the sky at the zenith and at the horizon; the air takes on the latter.
    pub zenith: Vec3,
    /// See `zenith`.
    pub horizon: Vec3,
    /// The distance over which the air hides 63 % of things, in metres.
    pub visibility: f32,
    /// Strength of the clouds, 0..=1.
    pub clouds: f32,
    /// Where the clouds' texture starts.
    pub cloud_offset: f32,
    /// The mean brightness (linear, 0..=1) that the camera exposes for.
    pub exposure: f32,
}

impl Light {
    /// Light as the weather brings it, with a random hour.
    pub fn random(weather: Weather, rng: &mut Rng) -> Light {
        let side = rng.range(0.35, 2.75) * rng.sign();
        // measured from straight ahead of the camera
        let (azimuth, height): (f32, f32) = match weather {
            Weather::Backlight => (rng.range(-0.5, 0.5), rng.range(0.22, 0.5)),
            Weather::Dusk => (side, rng.range(0.2, 0.45)),
            _ => (side, rng.range(0.5, 1.2)),
        };
        let to_sun = vec3(azimuth.sin() * height.cos(), height.sin(), azimuth.cos() * height.cos());
        let warm = rng.range(0.0, 1.0);
        let day_sun = vec3(1.0, 0.95 - 0.08 * warm, 0.86 - 0.2 * warm);
        let day_sky = vec3(0.40, 0.50, 0.66);
        let base = Light {
            to_sun,
            sun: day_sun * rng.range(1.3, 1.9),
            sky: day_sky * rng.range(0.75, 1.1),
            bounce: vec3(0.24, 0.21, 0.17),
            zenith: vec3(0.16, 0.32, 0.72) * rng.range(0.9, 1.3),
            horizon: vec3(0.68, 0.78, 0.92),
            visibility: rng.log_range(250.0, 900.0),
            clouds: rng.range(0.0, 0.9),
            cloud_offset: rng.range(0.0, 10.0),
            exposure: rng.range(0.17, 0.27),
        };
        match weather {
            Weather::Sun => base,
            Weather::Backlight => Light {
                sun: vec3(1.0, 0.84, 0.62) * rng.range(1.4, 2.2),
                sky: day_sky * rng.range(0.55, 0.8),
                horizon: vec3(1.05, 0.92, 0.74),
                visibility: rng.log_range(90.0, 300.0),
                exposure: rng.range(0.16, 0.26),
                ..base
            },
            Weather::Overcast => Light {
                sun: vec3(1.0, 1.0, 1.0) * rng.range(0.0, 0.25),
                sky: vec3(0.86, 0.91, 1.0) * rng.range(0.9, 1.2),
                bounce: vec3(0.30, 0.29, 0.27),
                zenith: vec3(0.62, 0.67, 0.74),
                horizon: vec3(0.86, 0.88, 0.90),
                clouds: rng.range(0.1, 0.5),
                visibility: rng.log_range(150.0, 500.0),
                ..base
            },
            Weather::Dusk => {
                let blue = rng.chance(0.5);
                let (sky, horizon, sun) = if blue {
                    (vec3(0.34, 0.44, 0.72), vec3(0.42, 0.45, 0.60), vec3(0.9, 0.75, 0.62) * 0.25)
                } else {
                    (vec3(0.50, 0.48, 0.58), vec3(0.95, 0.62, 0.40), vec3(1.0, 0.62, 0.34) * 0.8)
                };
                Light {
                    sun: sun * rng.range(0.7, 1.3),
                    sky,
                    bounce: vec3(0.15, 0.14, 0.15),
                    zenith: vec3(0.12, 0.17, 0.36),
                    horizon,
                    visibility: rng.log_range(120.0, 400.0),
                    exposure: rng.log_range(0.05, 0.13),
                    ..base
                }
            }
            Weather::Haze => Light {
                sun: day_sun * rng.range(0.1, 0.6),
                sky: vec3(0.80, 0.82, 0.84) * rng.range(0.8, 1.1),
                zenith: vec3(0.70, 0.74, 0.80),
                horizon: vec3(0.80, 0.80, 0.79),
                clouds: 0.1,
                visibility: rng.log_range(30.0, 90.0),
                exposure: rng.range(0.22, 0.33),
                ..base
            },
        }
    }

    /// The sky's colour in a direction.
    pub fn sky_colour(&self, direction: Vec3) -> Vec3 {
        let direction = direction.normalized();
        let height = direction.y.max(0.0);
        let mut colour = self.horizon.mix(self.zenith, 1.0 - left(4.5 * height));
        if self.clouds > 0.0 {
            let spread = 0.10 / (height + 0.12);
            let puff = noise(
                direction.x * spread + self.cloud_offset,
                direction.z * spread + 0.7 * self.cloud_offset,
            );
            let cover = ((puff + 0.25) * 1.6).clamp(0.0, 1.0) * self.clouds;
            colour = colour.mix(self.horizon * 1.12 + vec3(0.06, 0.05, 0.03), cover);
        }
        let toward = direction.dot(self.to_sun).max(0.0);
        if self.sun.x > 0.4 {
            let wide = toward.powi(8);
            let narrow = wide.powi(8);
            let disc = if narrow > 0.9 { narrow.powi(24) * 8.0 } else { 0.0 };
            let glare = wide * 0.18 + narrow * 0.7 + disc;
            colour += self.sun * glare;
        }
        colour
    }

    /// What the air leaves of a colour over a distance in metres.
    #[inline]
    pub fn through_air(&self, colour: Vec3, distance: f32) -> Vec3 {
        self.horizon.mix(colour, left(distance / self.visibility))
    }

    /// Light on a dull surface with this normal, where `shadow` is the sun's visible share and `open` the sky's.
    #[inline]
    pub fn on(&self, normal: Vec3, shadow: f32, open: f32) -> Vec3 {
        let sky = self.sky.mix(self.bounce, 0.5 - 0.5 * normal.y) * open;
        sky + self.sun * (normal.dot(self.to_sun).max(0.0) * shadow)
    }
}

/// Near `exp(-x)`, as `(1 - x/16)^16`: what is left of light after `x` mean free paths.
#[inline]
fn left(x: f32) -> f32 {
    (1.0 - x / 16.0).max(0.0).powi(2).powi(2).powi(2).powi(2)
}
