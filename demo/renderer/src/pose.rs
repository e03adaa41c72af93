//! Poses: the angles of a figure's joints, in radians.

use std::f32::consts::TAU;

use crate::rng::Rng;

/// Distance of one full walk cycle (two steps) for a stature of 1.75 m, in metres.
pub const STRIDE: f32 = 1.42;

/// Joint angles; pairs are left and right. Forward and upward are positive.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pose {
    /// The trunk's bow.
    pub lean: f32,
    /// The trunk's turn against the hips.
    pub twist: f32,
    /// Thighs, from straight down.
    pub thigh: [f32; 2],
    /// Knees, from straight.
    pub knee: [f32; 2],
    /// How far the legs stand apart.
    pub spread: f32,
    /// Upper arms forward, from straight down.
    pub shoulder: [f32; 2],
    /// Upper arms sideways.
    pub abduct: [f32; 2],
    /// Elbows, from straight.
    pub elbow: [f32; 2],
    /// The head's nod, down positive.
    pub nod: f32,
    /// The head's turn, to the right positive.
    pub look: f32,
}

impl Pose {
    /// Walking, at a phase of the cycle (0..1), with the given vigour (1 is usual).
    pub fn walk(phase: f32, vigour: f32) -> Pose {
        let (sin, cos) = (phase * TAU).sin_cos();
        let knee = |cos: f32| 0.12 + 0.85 * vigour * cos.max(0.0);
        Pose {
            lean: 0.05 + 0.05 * vigour,
            twist: -0.08 * sin,
            thigh: [0.42 * vigour * sin + 0.06, -0.42 * vigour * sin + 0.06],
            knee: [knee(cos), knee(-cos)],
            spread: 0.03,
            shoulder: [-0.38 * vigour * sin, 0.38 * vigour * sin],
            abduct: [0.12, 0.12],
            elbow: [0.3 + 0.2 * vigour * (-sin).max(0.0), 0.3 + 0.2 * vigour * sin.max(0.0)],
            nod: 0.05,
            look: 0.0,
        }
    }

    /// Standing at ease; `sway` (any number) moves it a little.
    pub fn stand(sway: f32) -> Pose {
        Pose {
            lean: 0.03 + 0.02 * sway.sin(),
            twist: 0.05 * (0.7 * sway).sin(),
            thigh: [0.05, -0.02],
            knee: [0.08, 0.04],
            spread: 0.09,
            shoulder: [0.05 + 0.04 * sway.sin(), 0.08],
            abduct: [0.14, 0.14],
            elbow: [0.25, 0.3],
            nod: 0.08,
            look: 0.3 * (0.4 * sway).sin(),
        }
    }

    /// Bent down to work at the ground, moving with `phase` (in cycles).
    pub fn bend(phase: f32) -> Pose {
        let swing = (phase * TAU).sin();
        Pose {
            lean: 1.05 + 0.1 * swing,
            thigh: [0.45, 0.25],
            knee: [0.55, 0.35],
            spread: 0.14,
            shoulder: [0.7 + 0.2 * swing, 0.5 - 0.2 * swing],
            abduct: [0.15, 0.15],
            elbow: [0.35, 0.45],
            nod: 0.1,
            ..Pose::default()
        }
    }

    /// Kneeling on one knee.
    pub fn kneel(phase: f32) -> Pose {
        let swing = (phase * TAU).sin();
        Pose {
            lean: 0.45 + 0.06 * swing,
            thigh: [1.45, -0.1],
            knee: [1.5, 1.45],
            spread: 0.1,
            shoulder: [0.8 + 0.15 * swing, 0.6 - 0.15 * swing],
            abduct: [0.15, 0.15],
            elbow: [0.6, 0.7],
            nod: 0.35,
            ..Pose::default()
        }
    }

    /// Squatting.
    pub fn squat(phase: f32) -> Pose {
        let swing = (phase * TAU).sin();
        Pose {
            lean: 0.6 + 0.05 * swing,
            thigh: [1.6, 1.5],
            knee: [2.2, 2.1],
            spread: 0.22,
            shoulder: [0.9 + 0.1 * swing, 0.8],
            abduct: [0.2, 0.2],
            elbow: [0.5, 0.6],
            nod: 0.3,
            ..Pose::default()
        }
    }

    /// Hammering or drilling at a wall, moving with `phase` (in cycles).
    pub fn work(phase: f32) -> Pose {
        let swing = (phase * TAU).sin();
        Pose {
            lean: 0.15 + 0.04 * swing,
            shoulder: [1.1 + 0.35 * swing, 0.9],
            elbow: [0.9 - 0.35 * swing, 0.8],
            nod: 0.15,
            ..Pose::stand(0.0)
        }
    }

    /// Both hands hold something in front of the belly; the legs stay.
    #[must_use]
    pub fn holding(self) -> Pose {
        Pose { shoulder: [0.45, 0.45], abduct: [0.1, 0.1], elbow: [1.15, 1.15], ..self }
    }

    /// One arm points or waves; the rest stays.
    #[must_use]
    pub fn pointing(self, height: f32) -> Pose {
        Pose {
            shoulder: [self.shoulder[0], height],
            elbow: [self.elbow[0], 0.15],
            abduct: [self.abduct[0], 0.35],
            ..self
        }
    }

    /// A hand at the ear, as with a telephone; the rest stays.
    #[must_use]
    pub fn calling(self) -> Pose {
        Pose {
            shoulder: [self.shoulder[0], 0.6],
            elbow: [self.elbow[0], 2.2],
            abduct: [self.abduct[0], 0.45],
            nod: 0.2,
            ..self
        }
    }

    /// The pose that lies `share` (0..=1) of the way to `other`.
    pub fn mix(&self, other: &Pose, share: f32) -> Pose {
        let one = |a: f32, b: f32| a + (b - a) * share;
        let two = |a: [f32; 2], b: [f32; 2]| [one(a[0], b[0]), one(a[1], b[1])];
        Pose {
            lean: one(self.lean, other.lean),
            twist: one(self.twist, other.twist),
            thigh: two(self.thigh, other.thigh),
            knee: two(self.knee, other.knee),
            spread: one(self.spread, other.spread),
            shoulder: two(self.shoulder, other.shoulder),
            abduct: two(self.abduct, other.abduct),
            elbow: two(self.elbow, other.elbow),
            nod: one(self.nod, other.nod),
            look: one(self.look, other.look),
        }
    }

    /// Any pose that people on a site take.
    pub fn random(rng: &mut Rng) -> Pose {
        let phase = rng.unit();
        let mut pose = match rng.below(20) {
            0..8 => Pose::walk(phase, rng.range(0.6, 1.2)),
            8..13 => Pose::stand(rng.range(0.0, 20.0)),
            13..15 => Pose::bend(phase),
            15 => Pose::kneel(phase),
            16 => Pose::squat(phase),
            17 => Pose::stand(phase).pointing(rng.range(0.8, 2.4)),
            18 => Pose::stand(phase).calling(),
            _ => Pose::work(phase),
        };
        for angles in [&mut pose.shoulder, &mut pose.elbow, &mut pose.abduct] {
            for angle in angles.iter_mut() {
                *angle += rng.normal() * 0.1;
            }
        }
        pose.abduct = pose.abduct.map(|angle| angle.max(0.05));
        pose.elbow = pose.elbow.map(|angle| angle.max(0.02));
        pose.lean += rng.normal() * 0.05;
        pose.nod += rng.normal() * 0.18;
        pose.look += rng.normal() * 0.4;
        pose
    }
}
