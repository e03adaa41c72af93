//! Trucks and diggers.

use crate::material::{Material, Pattern, grey};
use crate::rng::Rng;
use crate::scene::Scene;
use crate::vector::{Frame, Vec3, rgb, vec3};

/// Adds a car-sized machine: a truck, a dumper or an excavator.
pub fn add(scene: &mut Scene, place: Vec3, heading: f32, rng: &mut Rng) {
    let paints = [rgb(236, 176, 24), rgb(232, 120, 24), rgb(220, 220, 216), rgb(40, 84, 150)];
    let paint = Material::plain(rng.pick(&paints) * rng.range(0.7, 1.0)).glossy(0.35).grainy(0.2);
    let dark = Material::plain(grey(0.03)).grainy(0.2);
    let glass = Material::plain(vec3(0.04, 0.06, 0.08)).glossy(0.9).grainy(0.0);
    for z in [-1.6, 0.0, 1.6] {
        scene.contact(place + Frame::upright(place, heading).forward * z, 2.0, 0.7);
    }
    let mut machine = scene.build(Frame::upright(place, heading), None);
    for (x, z) in [(-1.0, -1.5), (1.0, -1.5), (-1.0, 1.6), (1.0, 1.6)] {
        machine.cone([x - 0.18, 0.5, z], [x + 0.18, 0.5, z], [0.5, 0.5], dark);
        machine.cone([x - 0.19, 0.5, z], [x + 0.19, 0.5, z], [0.22, 0.22], paint);
    }
    machine.cuboid([0.0, 0.75, 0.0], [0.8, 0.2, 2.4], dark);
    if rng.chance(0.5) {
        machine.cuboid([0.0, 1.6, 1.7], [1.05, 0.85, 0.75], paint);
        machine.cuboid([0.0, 1.85, 1.72], [1.07, 0.38, 0.6], glass);
        machine.cuboid([0.0, 1.85, 1.80], [0.95, 0.38, 0.67], glass);
        let hazard = Pattern::Stripes { period: 0.4, share: 0.1, slant: 0.0, second: grey(0.1) };
        machine.cuboid([0.0, 1.45, -0.75], [1.15, 0.5, 1.6], paint.with(hazard));
    } else {
        machine.cuboid([0.0, 1.35, -0.5], [1.0, 0.45, 1.5], paint);
        machine.cuboid([-0.35, 2.1, 0.3], [0.55, 0.75, 0.65], paint);
        machine.cuboid([-0.35, 2.2, 0.32], [0.57, 0.5, 0.67], glass);
        machine.tube([0.5, 1.7, 0.9], [0.5, 3.4, 2.6], 0.17, paint);
        machine.tube([0.5, 3.4, 2.6], [0.5, 1.4, 4.0], 0.13, paint);
        machine.cuboid([0.5, 0.9, 4.0], [0.45, 0.4, 0.35], dark);
    }
}
