//! The analytic shapes that everything is built of: where a ray meets them, their normals, their bounds.
//!
//! The round cone and the capped cone follow Inigo Quilez' ray intersectors
//! (<https://iquilezles.org/articles/intersectors/>), here for directions of any length.

use crate::camera::{Bounds, View};
use crate::vector::{Frame, Vec3};

/// A solid.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// An ellipsoid, of which only the part with `(p - centre)·cut >= level` remains.
    Ellipsoid {
        /// Its centre.
        centre: Vec3,
        /// Its half axes.
        axes: [Vec3; 3],
        /// The half axes divided by their squared lengths: they turn it into the unit sphere.
        inverse: [Vec3; 3],
        /// The normal of the cutting plane, towards what remains; zero for a whole ellipsoid.
        cut: Vec3,
        /// The distance of the cutting plane from the centre, in metres along `cut`.
        level: f32,
    },
    /// Two spheres and the cone that touches both: limbs, tubes, poles.
    RoundCone {
        /// The one end, the other end, and their radii.
        ends: [Vec3; 2],
        /// Radii at the ends, in metres.
        radii: [f32; 2],
    },
    /// A cylinder or a cut cone with flat ends: barrels, buckets, traffic cones.
    CappedCone {
        /// The middles of the flat ends.
        ends: [Vec3; 2],
        /// Radii at the ends, in metres.
        radii: [f32; 2],
    },
    /// A box.
    Cuboid {
        /// Its middle and its axes.
        frame: Frame,
        /// Half of its width, height and depth.
        half: Vec3,
    },
}

/// Where a ray enters a shape.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// The ray's parameter: the depth.
    pub depth: f32,
    /// Which face: 0..6 of a box, the side or an end of a capped cone, outside or inside of a cut ellipsoid.
    pub face: u32,
}

impl Shape {
    /// A whole ellipsoid with its half axes along the frame's.
    pub fn ellipsoid(frame: &Frame, x: f32, y: f32, z: f32) -> Shape {
        Shape::Ellipsoid {
            centre: frame.origin,
            axes: [frame.right * x, frame.up * y, frame.forward * z],
            inverse: [frame.right * (1.0 / x), frame.up * (1.0 / y), frame.forward * (1.0 / z)],
            cut: Vec3::default(),
            level: -1.0,
        }
    }

    /// What remains of an ellipsoid on the side of a plane to which `cut` (length one) points.
    pub fn dome(frame: &Frame, x: f32, y: f32, z: f32, cut: Vec3, level: f32) -> Shape {
        match Shape::ellipsoid(frame, x, y, z) {
            Shape::Ellipsoid { centre, axes, inverse, .. } => {
                Shape::Ellipsoid { centre, axes, inverse, cut, level }
            }
            other => other,
        }
    }

    /// The depth of the shape's middle in a view: where to start the search for a hit.
    #[inline(always)]
    pub fn depth(&self, view: &View) -> f32 {
        (self.middle() - view.origin).dot(view.forward)
    }

    /// A depth in a view that no point of the shape is in front of.
    pub fn nearest(&self, view: &View) -> f32 {
        let reach = match self {
            Shape::Ellipsoid { axes, .. } => axes.iter().map(|axis| axis.length()).fold(0.0, f32::max),
            Shape::RoundCone { ends, radii } | Shape::CappedCone { ends, radii } => {
                0.5 * (ends[1] - ends[0]).length() + radii[0].max(radii[1])
            }
            Shape::Cuboid { half, .. } => half.length(),
        };
        self.depth(view) - reach
    }

    /// Where the ray first meets the shape, of which the middle lies at the depth `start`.
    ///
    /// Far from the shape, single precision would lose thin ones; hence the search starts near it.
    #[inline(always)]
    pub fn hit(&self, origin: Vec3, direction: Vec3, start: f32) -> Option<Hit> {
        let near = origin + direction * start;
        let hit = match self {
            Shape::Ellipsoid { centre, inverse, cut, level, .. } => {
                hit_ellipsoid(near - *centre, direction, inverse, *cut, *level)
            }
            Shape::RoundCone { ends, radii } => hit_round_cone(near, direction, ends, radii),
            Shape::CappedCone { ends, radii } => hit_capped_cone(near, direction, ends, radii),
            Shape::Cuboid { frame, half } => hit_cuboid(near, direction, frame, half),
        }?;
        Some(Hit { depth: hit.depth + start, face: hit.face })
    }

    /// The middle of the shape.
    #[inline(always)]
    pub fn middle(&self) -> Vec3 {
        match self {
            Shape::Ellipsoid { centre, .. } => *centre,
            Shape::RoundCone { ends, .. } | Shape::CappedCone { ends, .. } => (ends[0] + ends[1]) * 0.5,
            Shape::Cuboid { frame, .. } => frame.origin,
        }
    }

    /// The normal at a point of the surface, of length one, away from the solid.
    #[inline(always)]
    pub fn normal(&self, point: Vec3, face: u32) -> Vec3 {
        match self {
            Shape::Ellipsoid { centre, inverse, .. } => {
                let local = point - *centre;
                let outward = inverse[0] * inverse[0].dot(local)
                    + inverse[1] * inverse[1].dot(local)
                    + inverse[2] * inverse[2].dot(local);
                outward.normalized() * if face == 1 { -1.0 } else { 1.0 }
            }
            Shape::RoundCone { ends, radii } => {
                let axis = ends[1] - ends[0];
                let local = point - ends[0];
                let taper = radii[0] - radii[1];
                let length = axis.dot(axis) - taper * taper;
                let along = axis.dot(local) - radii[0] * taper;
                let outward = if along <= 0.0 {
                    local
                } else if along >= length {
                    point - ends[1]
                } else {
                    local * length - axis * along
                };
                outward.normalized()
            }
            Shape::CappedCone { ends, radii } => {
                let axis = ends[1] - ends[0];
                match face {
                    1 => -axis.normalized(),
                    2 => axis.normalized(),
                    _ => {
                        let square = axis.dot(axis);
                        let local = point - ends[0];
                        let across = local - axis * (local.dot(axis) / square);
                        let taper = (radii[0] - radii[1]) / square.sqrt();
                        (across.normalized() + axis.normalized() * taper).normalized()
                    }
                }
            }
            Shape::Cuboid { frame, .. } => {
                let axis = [frame.right, frame.up, frame.forward][(face / 2) as usize % 3];
                if face.is_multiple_of(2) { -axis } else { axis }
            }
        }
    }

    /// Where the shape can appear in a view; `None` when it reaches behind the near plane.
    pub fn bounds(&self, view: &View) -> Option<Bounds> {
        match self {
            Shape::Ellipsoid { centre, axes, .. } => view.ellipsoid_bounds(*centre, *axes),
            Shape::RoundCone { ends, radii } => {
                let ball = |end: usize| {
                    let r = radii[end];
                    view.ellipsoid_bounds(ends[end], [view.right * r, view.up * r, view.forward * r])
                };
                Some(ball(0)?.union(ball(1)?))
            }
            Shape::CappedCone { ends, radii } => {
                let axis = (ends[1] - ends[0]).normalized();
                let side = axis.cross(if axis.y.abs() < 0.9 { crate::vector::UP } else { view.right });
                let side = side.normalized();
                let other = axis.cross(side);
                let disc = |end: usize| {
                    let axes = [side * radii[end], other * radii[end], Vec3::default()];
                    view.ellipsoid_bounds(ends[end], axes)
                };
                Some(disc(0)?.union(disc(1)?))
            }
            Shape::Cuboid { frame, half } => view.point_bounds((0..8).map(|corner| {
                let sign = |bit: u32| if corner >> bit & 1 == 0 { -1.0 } else { 1.0 };
                frame.at(half.x * sign(0), half.y * sign(1), half.z * sign(2))
            })),
        }
    }
}

#[inline(always)]
fn hit_ellipsoid(local: Vec3, direction: Vec3, inverse: &[Vec3; 3], cut: Vec3, level: f32) -> Option<Hit> {
    let o = Vec3 { x: inverse[0].dot(local), y: inverse[1].dot(local), z: inverse[2].dot(local) };
    let d = Vec3 { x: inverse[0].dot(direction), y: inverse[1].dot(direction), z: inverse[2].dot(direction) };
    let (a, b, c) = (d.dot(d), o.dot(d), o.dot(o) - 1.0);
    let square = b * b - a * c;
    if square < 0.0 {
        return None;
    }
    let root = square.sqrt();
    let kept = |depth: f32| (local + direction * depth).dot(cut) >= level;
    let (enter, leave) = ((-b - root) / a, (-b + root) / a);
    if kept(enter) {
        Some(Hit { depth: enter, face: 0 })
    } else if kept(leave) {
        Some(Hit { depth: leave, face: 1 })
    } else {
        None
    }
}

#[inline(always)]
fn hit_round_cone(origin: Vec3, direction: Vec3, ends: &[Vec3; 2], radii: &[f32; 2]) -> Option<Hit> {
    let (axis, a, b) = (ends[1] - ends[0], origin - ends[0], origin - ends[1]);
    let taper = radii[0] - radii[1];
    let square = direction.dot(direction);
    let (m1, m2, m3) = (axis.dot(a), axis.dot(direction), direction.dot(a));
    let length = axis.dot(axis) - taper * taper;
    let k2 = length * square - m2 * m2;
    let k1 = length * m3 - m1 * m2 + m2 * taper * radii[0];
    let k0 = length * a.dot(a) - m1 * m1 + m1 * taper * radii[0] * 2.0 - axis.dot(axis) * radii[0] * radii[0];
    let body = k1 * k1 - k0 * k2;
    if body >= 0.0 && k2 > 0.0 {
        let depth = (-body.sqrt() - k1) / k2;
        let along = m1 - radii[0] * taper + depth * m2;
        if along > 0.0 && along < length {
            return Some(Hit { depth, face: 0 });
        }
    }
    let ball = |local: Vec3, radius: f32| {
        let middle = direction.dot(local);
        let inside = middle * middle - square * (local.dot(local) - radius * radius);
        (inside > 0.0).then(|| (-middle - inside.sqrt()) / square)
    };
    let depth = match (ball(a, radii[0]), ball(b, radii[1])) {
        (Some(one), Some(other)) => one.min(other),
        (one, other) => one.or(other)?,
    };
    Some(Hit { depth, face: 0 })
}

#[inline(always)]
fn hit_capped_cone(origin: Vec3, direction: Vec3, ends: &[Vec3; 2], radii: &[f32; 2]) -> Option<Hit> {
    let (axis, a, b) = (ends[1] - ends[0], origin - ends[0], origin - ends[1]);
    let m0 = axis.dot(axis);
    let (m1, m2, m3) = (a.dot(axis), direction.dot(axis), direction.dot(a));
    // The ray can enter only through the end that it runs away from.
    let (local, radius, face) = if m2 > 0.0 { (a, radii[0], 1) } else { (b, radii[1], 2) };
    if m2.abs() > 1e-9 {
        let depth = -local.dot(axis) / m2;
        let spot = local + direction * depth;
        if spot.dot(spot) < radius * radius {
            return Some(Hit { depth, face });
        }
    }
    let taper = radii[0] - radii[1];
    let slope = m0 + taper * taper;
    let k2 = m0 * m0 * direction.dot(direction) - m2 * m2 * slope;
    let k1 = m0 * m0 * m3 - m1 * m2 * slope + m0 * radii[0] * taper * m2;
    let k0 = m0 * m0 * a.dot(a) - m1 * m1 * slope + m0 * radii[0] * (taper * m1 * 2.0 - m0 * radii[0]);
    let square = k1 * k1 - k2 * k0;
    if square < 0.0 || k2.abs() < 1e-12 {
        return None;
    }
    let depth = (-k1 - square.sqrt()) / k2;
    let along = m1 + depth * m2;
    (along >= 0.0 && along <= m0).then_some(Hit { depth, face: 0 })
}

#[inline(always)]
fn hit_cuboid(origin: Vec3, direction: Vec3, frame: &Frame, half: &Vec3) -> Option<Hit> {
    let local = origin - frame.origin;
    let (mut enter, mut leave, mut face) = (f32::NEG_INFINITY, f32::INFINITY, 0);
    for (index, (axis, half)) in
        [(frame.right, half.x), (frame.up, half.y), (frame.forward, half.z)].into_iter().enumerate()
    {
        let speed = 1.0 / axis.dot(direction);
        let middle = -axis.dot(local) * speed;
        let reach = half * speed.abs();
        if middle - reach > enter {
            enter = middle - reach;
            face = index as u32 * 2 + u32::from(speed < 0.0);
        }
        leave = leave.min(middle + reach);
    }
    (enter <= leave).then_some(Hit { depth: enter, face })
}
