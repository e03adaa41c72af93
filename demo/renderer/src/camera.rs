//! Views: a pinhole camera for pictures and a parallel projection for the sun's shadows.

use crate::vector::{UP, Vec3};

/// How rays leave the view.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Projection {
    Perspective,
    Parallel,
}

/// A projection of the site onto a grid of pixels.
///
/// Ray directions have a forward component of one, so a ray's parameter is the depth along the view's axis.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The camera's place (perspective) or the grid's centre (parallel).
    pub origin: Vec3,
    /// The direction of growing columns.
    pub right: Vec3,
    /// The direction of falling rows.
    pub up: Vec3,
    /// The viewing direction.
    pub forward: Vec3,
    /// Focal length in pixels (perspective) or pixels per metre (parallel).
    pub scale: f32,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    projection: Projection,
}

/// Nothing nearer than this many metres is drawn.
pub const NEAR: f32 = 0.3;

/// Bounds in pixels, possibly beyond the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Left edge.
    pub x_min: f32,
    /// Upper edge.
    pub y_min: f32,
    /// Right edge.
    pub x_max: f32,
    /// Lower edge.
    pub y_max: f32,
}

impl Bounds {
    /// The bounds that hold both.
    pub fn union(self, other: Bounds) -> Bounds {
        Bounds {
            x_min: self.x_min.min(other.x_min),
            y_min: self.y_min.min(other.y_min),
            x_max: self.x_max.max(other.x_max),
            y_max: self.y_max.max(other.y_max),
        }
    }

    /// The share (0..=1) of the bounds' area that lies within a picture of this size.
    pub fn share_within(&self, width: usize, height: usize) -> f32 {
        let across = self.x_max.min(width as f32) - self.x_min.max(0.0);
        let down = self.y_max.min(height as f32) - self.y_min.max(0.0);
        let area = (self.x_max - self.x_min) * (self.y_max - self.y_min);
        if area <= 0.0 { 0.0 } else { (across.max(0.0) * down.max(0.0) / area).min(1.0) }
    }
}

impl View {
    /// A pinhole camera at `origin`, looking `heading` radians to the right of the world's z axis and `pitch`
    /// radians below the horizon, with its focal length in pixels.
    pub fn pinhole(origin: Vec3, heading: f32, pitch: f32, focal: f32, width: usize, height: usize) -> View {
        let (sin, cos) = heading.sin_cos();
        let forward = Vec3 { x: sin * pitch.cos(), y: -pitch.sin(), z: cos * pitch.cos() };
        View::along(origin, forward, focal, width, height, Projection::Perspective)
    }

    /// A parallel projection along `forward` of the square of `2 * reach` metres around `centre`.
    pub fn parallel(centre: Vec3, forward: Vec3, reach: f32, size: usize) -> View {
        View::along(centre, forward, size as f32 / (2.0 * reach), size, size, Projection::Parallel)
    }

    fn along(
        origin: Vec3,
        forward: Vec3,
        scale: f32,
        width: usize,
        height: usize,
        projection: Projection,
    ) -> View {
        let forward = forward.normalized();
        let right = UP.cross(forward).normalized();
        View { origin, right, up: forward.cross(right), forward, scale, width, height, projection }
    }

    /// The ray through a place of the picture, in pixels: its origin and its direction.
    #[inline(always)]
    pub fn ray(&self, x: f32, y: f32) -> (Vec3, Vec3) {
        let across = (x - 0.5 * self.width as f32) / self.scale;
        let down = (y - 0.5 * self.height as f32) / self.scale;
        let offset = self.right * across - self.up * down;
        match self.projection {
            Projection::Perspective => (self.origin, self.forward + offset),
            Projection::Parallel => (self.origin + offset, self.forward),
        }
    }

    /// Where a point lies in the picture: column, row, and depth in metres.
    #[inline(always)]
    pub fn project(&self, point: Vec3) -> (f32, f32, f32) {
        let local = point - self.origin;
        let depth = local.dot(self.forward);
        let scale = match self.projection {
            Projection::Perspective => self.scale / depth.max(1e-6),
            Projection::Parallel => self.scale,
        };
        let x = 0.5 * self.width as f32 + local.dot(self.right) * scale;
        let y = 0.5 * self.height as f32 - local.dot(self.up) * scale;
        (x, y, depth)
    }

    /// The exact bounds of the ellipsoid with this centre and these half axes (a zero axis makes it a disc).
    ///
    /// A line through the picture touches the ellipsoid where the plane through camera and line does:
    /// `(n·c)² = Σ (n·axis)²`, a quadratic in the line's place. `None` when it reaches behind the near plane.
    pub fn ellipsoid_bounds(&self, centre: Vec3, axes: [Vec3; 3]) -> Option<Bounds> {
        let local = centre - self.origin;
        let depth = local.dot(self.forward);
        let deep: f32 = axes.iter().map(|axis| axis.dot(self.forward).powi(2)).sum();
        let span = |direction: Vec3| {
            let middle = local.dot(direction);
            let wide: f32 = axes.iter().map(|axis| axis.dot(direction).powi(2)).sum();
            match self.projection {
                Projection::Parallel => (middle - wide.sqrt(), middle + wide.sqrt()),
                Projection::Perspective => {
                    let mixed: f32 =
                        axes.iter().map(|axis| axis.dot(direction) * axis.dot(self.forward)).sum();
                    let a = depth * depth - deep;
                    let b = middle * depth - mixed;
                    let c = middle * middle - wide;
                    let root = (b * b - a * c).max(0.0).sqrt();
                    ((b - root) / a, (b + root) / a)
                }
            }
        };
        if self.projection == Projection::Perspective && depth - deep.sqrt() < NEAR {
            return None;
        }
        let (left, right) = span(self.right);
        let (low, high) = span(self.up);
        let (cx, cy) = (0.5 * self.width as f32, 0.5 * self.height as f32);
        Some(Bounds {
            x_min: cx + left * self.scale,
            x_max: cx + right * self.scale,
            y_min: cy - high * self.scale,
            y_max: cy - low * self.scale,
        })
    }

    /// The bounds of a set of points; `None` when one lies behind the near plane.
    pub fn point_bounds(&self, points: impl IntoIterator<Item = Vec3>) -> Option<Bounds> {
        let mut bounds: Option<Bounds> = None;
        for point in points {
            let (x, y, depth) = self.project(point);
            if self.projection == Projection::Perspective && depth < NEAR {
                return None;
            }
            let spot = Bounds { x_min: x, y_min: y, x_max: x, y_max: y };
            bounds = Some(bounds.map_or(spot, |bounds| bounds.union(spot)));
        }
        bounds
    }

    /// Bounds that hold the whole picture.
    pub fn full_bounds(&self) -> Bounds {
        Bounds { x_min: 0.0, y_min: 0.0, x_max: self.width as f32, y_max: self.height as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::vec3;

    #[test]
    fn a_projected_point_lies_on_its_ray() {
        let view = View::pinhole(vec3(0.0, 4.0, 0.0), 0.2, 0.3, 900.0, 1280, 720);
        let point = vec3(2.0, 1.0, 12.0);
        let (x, y, depth) = view.project(point);
        let (origin, direction) = view.ray(x, y);
        assert!((origin + direction * depth - point).length() < 1e-3);
    }

    #[test]
    fn a_sphere_on_the_axis_has_round_bounds() {
        let view = View::pinhole(vec3(0.0, 0.0, 0.0), 0.0, 0.0, 1000.0, 1000, 1000);
        let axes = [vec3(1.0, 0.0, 0.0), vec3(0.0, 1.0, 0.0), vec3(0.0, 0.0, 1.0)];
        let bounds = view.ellipsoid_bounds(vec3(0.0, 0.0, 10.0), axes).unwrap();
        let reach = 1000.0 / 99.0_f32.sqrt();
        assert!((bounds.x_min - (500.0 - reach)).abs() < 0.1);
        assert!((bounds.y_max - (500.0 + reach)).abs() < 0.1);
        assert!(view.ellipsoid_bounds(vec3(0.0, 0.0, 1.0), axes).is_none());
    }
}
