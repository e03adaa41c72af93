//! Three-component vectors: points and directions in metres, colours in linear light.

use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// A point, a direction or a linear RGB colour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Vec3 {
    /// To the right of the site, or red.
    pub x: f32,
    /// Upwards, or green.
    pub y: f32,
    /// Away from the camera, or blue.
    pub z: f32,
}

/// The world's upward direction.
pub const UP: Vec3 = vec3(0.0, 1.0, 0.0);

/// Makes a vector from its components.
pub const fn vec3(x: f32, y: f32, z: f32) -> Vec3 {
    Vec3 { x, y, z }
}

/// A colour from sRGB components of 0..=255, turned into linear light.
pub fn rgb(red: u8, green: u8, blue: u8) -> Vec3 {
    let linear = |value: u8| (f32::from(value) / 255.0).powf(2.2);
    vec3(linear(red), linear(green), linear(blue))
}

impl Vec3 {
    /// The dot product.
    #[inline(always)]
    pub fn dot(self, other: Vec3) -> f32 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    /// The cross product.
    #[inline(always)]
    pub fn cross(self, other: Vec3) -> Vec3 {
        vec3(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    /// The Euclidean length.
    #[inline(always)]
    pub fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// The same direction with length one; a zero vector stays zero.
    #[inline(always)]
    pub fn normalized(self) -> Vec3 {
        self * (1.0 / self.length().max(1e-12))
    }

    /// The product of the components: a colour seen through a filter.
    #[inline(always)]
    pub fn times(self, other: Vec3) -> Vec3 {
        vec3(self.x * other.x, self.y * other.y, self.z * other.z)
    }

    /// The point that lies `share` (0..=1) of the way to `other`.
    #[inline(always)]
    pub fn mix(self, other: Vec3, share: f32) -> Vec3 {
        self + (other - self) * share
    }

    /// Relative luminance of a linear colour (ITU-R BT.709).
    #[inline(always)]
    pub fn luminance(self) -> f32 {
        0.2126 * self.x + 0.7152 * self.y + 0.0722 * self.z
    }
}

impl Add for Vec3 {
    type Output = Vec3;
    #[inline(always)]
    fn add(self, other: Vec3) -> Vec3 {
        vec3(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl AddAssign for Vec3 {
    #[inline(always)]
    fn add_assign(&mut self, other: Vec3) {
        *self = *self + other;
    }
}

impl Sub for Vec3 {
    type Output = Vec3;
    #[inline(always)]
    fn sub(self, other: Vec3) -> Vec3 {
        vec3(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Mul<f32> for Vec3 {
    type Output = Vec3;
    #[inline(always)]
    fn mul(self, factor: f32) -> Vec3 {
        vec3(self.x * factor, self.y * factor, self.z * factor)
    }
}

impl Neg for Vec3 {
    type Output = Vec3;
    #[inline(always)]
    fn neg(self) -> Vec3 {
        self * -1.0
    }
}

/// A place with three orthonormal axes: where a thing stands and which way it faces.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// The place of the frame's zero point.
    pub origin: Vec3,
    /// The frame's x axis.
    pub right: Vec3,
    /// The frame's y axis.
    pub up: Vec3,
    /// The frame's z axis.
    pub forward: Vec3,
}

impl Frame {
    /// A frame that stands upright at `origin` and faces `heading` radians from the world's z towards its x.
    pub fn upright(origin: Vec3, heading: f32) -> Frame {
        let (sin, cos) = heading.sin_cos();
        Frame { origin, right: vec3(cos, 0.0, -sin), up: UP, forward: vec3(sin, 0.0, cos) }
    }

    /// The world's place of a point given in this frame.
    pub fn at(&self, x: f32, y: f32, z: f32) -> Vec3 {
        self.origin + self.along(x, y, z)
    }

    /// The world's direction of a direction given in this frame.
    pub fn along(&self, x: f32, y: f32, z: f32) -> Vec3 {
        self.right * x + self.up * y + self.forward * z
    }

    /// The same axes at another place.
    pub fn moved(&self, origin: Vec3) -> Frame {
        Frame { origin, ..*self }
    }

    /// Bowed forwards by `angle` radians.
    pub fn pitched(&self, angle: f32) -> Frame {
        let (sin, cos) = angle.sin_cos();
        Frame { up: self.up * cos + self.forward * sin, forward: self.forward * cos - self.up * sin, ..*self }
    }

    /// Turned about its own upward axis by `angle` radians, towards its right.
    pub fn yawed(&self, angle: f32) -> Frame {
        let (sin, cos) = angle.sin_cos();
        Frame {
            forward: self.forward * cos + self.right * sin,
            right: self.right * cos - self.forward * sin,
            ..*self
        }
    }

    /// Tilted sideways by `angle` radians, towards its right.
    pub fn rolled(&self, angle: f32) -> Frame {
        let (sin, cos) = angle.sin_cos();
        Frame { up: self.up * cos + self.right * sin, right: self.right * cos - self.up * sin, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_stay_orthonormal() {
        let frame = Frame::upright(vec3(1.0, 2.0, 3.0), 0.7).pitched(0.4).yawed(-1.1).rolled(0.3);
        for (a, b) in [(frame.right, frame.up), (frame.up, frame.forward), (frame.forward, frame.right)] {
            assert!(a.dot(b).abs() < 1e-5);
            assert!((a.length() - 1.0).abs() < 1e-5);
        }
        assert!((frame.up.cross(frame.forward) - frame.right).length() < 1e-5);
    }
}
