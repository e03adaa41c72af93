//! The background: buildings, shells, scaffolds, containers, fences and cranes.

use crate::material::{Material, Pattern, grey};
use crate::rng::Rng;
use crate::scene::Scene;
use crate::vector::{Frame, Vec3, rgb, vec3};

/// Adds a random background beyond `depth` metres in front of a camera above the origin that looks along `ahead`.
pub fn add_background(scene: &mut Scene, ahead: f32, depth: f32, rng: &mut Rng) {
    let frame = Frame::upright(Vec3::default(), ahead);
    for _ in 0..2 + rng.below(5) {
        let z = depth * rng.range(1.3, 3.0);
        let place = frame.at(rng.range(-0.9, 0.9) * z, 0.0, z);
        building(scene, place, ahead + rng.range(-0.5, 0.5), rng);
    }
    if rng.chance(0.55) {
        let z = depth * rng.range(1.1, 1.6);
        let place = frame.at(rng.range(-0.5, 0.5) * z, 0.0, z);
        shell(scene, place, ahead + rng.range(-0.3, 0.3), rng);
    }
    if rng.chance(0.5) {
        let z = depth * rng.range(1.0, 1.4);
        scaffold(scene, frame.at(rng.range(-0.6, 0.6) * z, 0.0, z), ahead + rng.range(-0.3, 0.3), rng);
    }
    for _ in 0..rng.below(4) {
        let z = depth * rng.range(0.9, 1.4);
        container(scene, frame.at(rng.range(-0.7, 0.7) * z, 0.0, z), ahead + rng.range(-0.5, 0.5), rng);
    }
    if rng.chance(0.6) {
        let z = depth * rng.range(0.85, 1.1);
        fence(scene, &frame.yawed(rng.range(-0.2, 0.2)), z, rng);
    }
    if rng.chance(0.45) {
        let z = depth * rng.range(1.6, 2.6);
        crane(scene, frame.at(rng.range(-0.5, 0.5) * z, 0.0, z), rng.range(-3.0, 3.0), rng);
    }
    for _ in 0..rng.below(5) {
        let z = depth * rng.range(1.2, 2.2);
        tree(scene, frame.at(rng.range(-0.8, 0.8) * z, 0.0, z), rng);
    }
}

fn building(scene: &mut Scene, place: Vec3, heading: f32, rng: &mut Rng) {
    let walls = [
        rgb(178, 164, 146),
        rgb(196, 190, 180),
        rgb(160, 104, 82),
        rgb(132, 134, 138),
        rgb(206, 196, 164),
        rgb(112, 96, 86),
    ];
    let wall = Material::plain(rng.pick(&walls) * rng.range(0.7, 1.1)).grainy(0.2).glossy(0.0);
    let windows = Pattern::Grid {
        cell: [rng.range(2.0, 4.0), rng.range(2.8, 3.4)],
        share: [rng.range(0.3, 0.75), rng.range(0.4, 0.6)],
        second: vec3(0.05, 0.07, 0.10) * rng.range(0.6, 2.5),
    };
    let half = [rng.range(5.0, 14.0), rng.range(3.0, 12.0), rng.range(4.0, 8.0)];
    let mut house = scene.build(Frame::upright(place, heading), None);
    house.cuboid([0.0, half[1], 0.0], half, wall.with(windows));
    house.cuboid(
        [0.0, half[1] * 2.0 + 0.2, 0.0],
        [half[0] + 0.3, 0.25, half[2] + 0.3],
        Material::plain(grey(0.2)),
    );
}

/// A concrete frame under construction: slabs and columns.
fn shell(scene: &mut Scene, place: Vec3, heading: f32, rng: &mut Rng) {
    let concrete = Material::plain(grey(rng.range(0.26, 0.45))).grainy(0.25).glossy(0.0);
    let (floors, bays) = (2 + rng.below(3), 3 + rng.below(3));
    let wide = bays as f32 * 2.2;
    let mut frame = scene.build(Frame::upright(place, heading), None);
    frame.cuboid([0.0, 1.5, 3.8], [wide, 1.5 * floors as f32, 0.1], concrete);
    for floor in 0..floors {
        let y = 3.0 * floor as f32;
        frame.cuboid([0.0, y + 3.0, 0.0], [wide, 0.14, 4.0], concrete);
        for bay in 0..=bays {
            let x = -wide + 0.2 + bay as f32 * (2.0 * wide - 0.4) / bays as f32;
            frame.cuboid([x, y + 1.5, -3.6], [0.18, 1.5, 0.18], concrete);
        }
    }
}

fn scaffold(scene: &mut Scene, place: Vec3, heading: f32, rng: &mut Rng) {
    let steel = Material::plain(grey(rng.range(0.25, 0.5))).glossy(0.3);
    let boards = Material::plain(rgb(170, 136, 92)).grainy(0.3).glossy(0.0);
    let (levels, bays) = (2 + rng.below(3), 3 + rng.below(4));
    let wide = bays as f32 * 2.4;
    let mut frame = scene.build(Frame::upright(place, heading), None);
    let top = levels as f32 * 2.0 + 1.0;
    let cloth = Material::plain(rng.pick(&[rgb(70, 120, 92), rgb(186, 190, 186), rgb(60, 92, 140)]));
    frame.cuboid([0.0, 0.5 * top, 1.2], [0.5 * wide, 0.5 * top, 0.05], cloth.grainy(0.4).glossy(0.0));
    for bay in 0..=bays {
        let x = bay as f32 * 2.4 - 0.5 * wide;
        for z in [0.0, 1.0] {
            frame.tube([x, 0.0, z], [x, top, z], 0.04, steel);
        }
    }
    for level in 1..=levels {
        let y = level as f32 * 2.0;
        frame.cuboid([0.0, y, 0.5], [0.5 * wide, 0.04, 0.5], boards);
        for rail in [0.5, 1.0] {
            frame.tube([-0.5 * wide, y + rail, 0.0], [0.5 * wide, y + rail, 0.0], 0.03, steel);
        }
    }
}

fn container(scene: &mut Scene, place: Vec3, heading: f32, rng: &mut Rng) {
    let paints = [
        rgb(40, 92, 150),
        rgb(150, 52, 40),
        rgb(206, 206, 200),
        rgb(60, 110, 76),
        rgb(210, 130, 40),
        rgb(90, 94, 100),
    ];
    let paint = rng.pick(&paints) * rng.range(0.6, 1.1);
    let ribs = Pattern::Stripes { period: 0.28, share: 0.4, slant: 0.0, second: paint * 0.72 };
    let wall = Material::plain(paint).with(ribs).grainy(0.25);
    let half = [if rng.chance(0.7) { 3.0 } else { 1.5 }, 1.3, 1.2];
    scene.contact(place, 3.4, 0.5);
    let stacked = rng.chance(0.25);
    let mut cabin = scene.build(Frame::upright(place, heading), None);
    cabin.cuboid([0.0, half[1], 0.0], half, wall);
    if rng.chance(0.5) {
        let glass = Material::plain(vec3(0.06, 0.08, 0.10)).glossy(0.7);
        cabin.cuboid([-0.4 * half[0], 1.6, -half[2]], [0.5, 0.4, 0.03], glass);
        cabin.cuboid([0.5 * half[0], 1.05, -half[2]], [0.42, 1.0, 0.03], Material::plain(paint * 0.6));
    }
    if stacked {
        cabin.cuboid([0.1, 3.0 * half[1], 0.1], half, wall);
    }
}

fn fence(scene: &mut Scene, frame: &Frame, depth: f32, rng: &mut Rng) {
    let steel = Material::plain(grey(rng.range(0.3, 0.5))).glossy(0.2);
    let solid = rng.chance(0.5);
    let sheet = Material::plain(rng.pick(&[rgb(160, 128, 88), rgb(200, 200, 196), rgb(90, 124, 150)]))
        .with(Pattern::Stripes { period: 0.6, share: 0.06, slant: 0.0, second: grey(0.1) });
    let mut row = scene.build(*frame, None);
    for panel in -7..7_i32 {
        let x = panel as f32 * 3.5;
        row.tube([x, 0.0, depth], [x, 2.0, depth], 0.03, steel);
        if solid {
            row.cuboid([x + 1.75, 1.0, depth + 0.05], [1.75, 0.95, 0.02], sheet.grainy(0.3));
        } else {
            for y in [0.2, 0.65, 1.1, 1.55, 1.95] {
                row.tube([x, y, depth], [x + 3.5, y, depth], 0.012, steel);
            }
        }
    }
}

fn crane(scene: &mut Scene, place: Vec3, heading: f32, rng: &mut Rng) {
    let paint = Material::plain(rng.pick(&[rgb(236, 176, 24), rgb(190, 40, 34), rgb(210, 210, 206)]));
    let h = rng.range(18.0, 32.0);
    let mut crane = scene.build(Frame::upright(place, heading), None);
    for (x, z) in [(-0.6, -0.6), (0.6, -0.6), (-0.6, 0.6), (0.6, 0.6)] {
        crane.tube([x, 0.0, z], [x, h, z], 0.10, paint);
    }
    let steps = (h / 2.0) as usize;
    for step in 0..steps {
        let y = step as f32 * 2.0;
        let side = if step % 2 == 0 { 0.6 } else { -0.6 };
        crane.tube([-side, y, -0.6], [side, y + 2.0, -0.6], 0.06, paint);
    }
    for y in [h, h + 1.2] {
        crane.tube([0.0, y, -8.0], [0.0, y, 24.0], 0.10, paint);
    }
    for step in 0..16 {
        let z = -8.0 + 2.0 * step as f32;
        let (low, high) = if step % 2 == 0 { (h, h + 1.2) } else { (h + 1.2, h) };
        crane.tube([0.0, low, z], [0.0, high, z + 2.0], 0.06, paint);
    }
    crane.cuboid([0.0, h - 0.8, -6.5], [0.6, 0.9, 1.2], Material::plain(grey(0.3)));
    crane.tube([0.0, h, 14.0], [0.0, h - 9.0, 14.0], 0.04, Material::plain(grey(0.05)));
}

fn tree(scene: &mut Scene, place: Vec3, rng: &mut Rng) {
    let bark = Material::plain(rgb(80, 62, 46)).grainy(0.3);
    let leaf = Material::plain(rgb(74, 96, 50) * rng.range(0.6, 1.2)).grainy(0.7).glossy(0.0);
    let h = rng.range(3.0, 6.0);
    let mut tree = scene.build(Frame::upright(place, rng.range(0.0, 3.0)), None);
    tree.tube([0.0, 0.0, 0.0], [0.0, h, 0.0], 0.18, bark);
    for _ in 0..4 {
        let at = [rng.range(-1.0, 1.0), h + rng.range(-0.8, 1.2), rng.range(-1.0, 1.0)];
        let r = rng.range(0.9, 1.6);
        tree.ellipsoid(at, [r, r * 0.85, r], leaf);
    }
}
