//! Heads and what is worn on them; also helmets that nobody wears.

use crate::material::{Material, grey};
use crate::rng::Rng;
use crate::scene::{Builder, Class, Scene};
use crate::vector::{Frame, UP, Vec3};
use crate::wardrobe::{HairCut, Headwear, Looks, helmet_colour, helmet_material};

/// Adds a head with its middle in the frame's origin.
pub fn add(scene: &mut Scene, looks: &Looks, object: usize, frame: &Frame, scale: f32) {
    let mut head = Head { builder: scene.build(*frame, Some(object)), scale };
    head.face(looks);
    match looks.headwear {
        Headwear::Helmet(colour) => {
            if looks.beard || looks.hair.x > 0.02 {
                head.hair(looks.hair, HairCut::Short);
            }
            let place = frame.at(0.0, 0.035 * scale, -0.006 * scale);
            helmet(&mut head.builder, &frame.moved(place).pitched(-0.06), scale, colour);
            // the harness' strap
            let strap = Material::plain(grey(0.05));
            for side in [-1.0, 1.0] {
                head.tube([side * 0.085, 0.03, 0.015], [side * 0.045, -0.115, 0.05], 0.007, strap);
            }
        }
        Headwear::Hair(cut) => head.hair(looks.hair, cut),
        Headwear::Cap(colour) => {
            head.hair(looks.hair, HairCut::Short);
            let cloth = Material::plain(colour).grainy(0.12).glossy(0.0);
            head.dome([0.0, 0.02, -0.006], [0.097, 0.115, 0.118], 0.012, cloth);
            head.lump([0.0, 0.038, 0.13], [0.068, 0.010, 0.072], cloth);
            head.lump([0.0, 0.134, -0.006], [0.012, 0.008, 0.012], cloth);
        }
        Headwear::Beanie(colour) => {
            let cloth = Material::plain(colour).grainy(0.3).glossy(0.0);
            head.dome([0.0, 0.015, -0.012], [0.099, 0.130, 0.116], 0.01, cloth);
            head.dome([0.0, 0.015, -0.012], [0.106, 0.085, 0.123], -0.002, cloth);
        }
        Headwear::Hood(colour) => {
            let cloth = Material::plain(colour).grainy(0.2).glossy(0.0);
            let middle = frame.moved(frame.at(0.0, 0.01 * scale, -0.02 * scale));
            let cut = frame.along(0.0, -0.25, -1.0).normalized();
            let shape = crate::shape::Shape::dome(
                &middle,
                0.115 * scale,
                0.150 * scale,
                0.130 * scale,
                cut,
                -0.055 * scale,
            );
            scene.add(Some(object), cloth, shape);
        }
    }
}

/// Adds a safety helmet that nobody wears, with its rim's middle in the frame's origin.
pub fn loose_helmet(scene: &mut Scene, frame: &Frame, colour: Vec3) {
    let object = scene.object(Class::Helmet, None);
    let mut builder = scene.build(*frame, Some(object));
    helmet(&mut builder, frame, 1.0, colour);
}

/// Lays a helmet down at a place on the ground or on a thing: on its rim, askew or upside down.
pub fn lay_helmet(scene: &mut Scene, place: Vec3, rng: &mut Rng) {
    let colour = helmet_colour(rng);
    let frame = Frame::upright(place, rng.range(-3.1, 3.1));
    let frame = match rng.below(10) {
        0..6 => frame.moved(place + UP * 0.012),
        6..8 => frame.moved(place + UP * 0.10).rolled(rng.range(0.7, 1.5) * rng.sign()),
        _ => frame.moved(place + UP * 0.135).rolled(3.0 + rng.range(-0.3, 0.3)),
    };
    if place.y < 0.01 {
        scene.contact(place, 0.28, 0.7);
    }
    loose_helmet(scene, &frame, colour);
}

/// The shell: a dome with a brim all round, a peak in front and ribs on top.
fn helmet(builder: &mut Builder<'_>, frame: &Frame, scale: f32, colour: Vec3) {
    let outer = builder.frame;
    builder.frame = *frame;
    let shell = helmet_material(colour);
    let s = scale;
    builder.dome([0.0, 0.0, 0.0], [0.122 * s, 0.142 * s, 0.146 * s], 0.0, shell);
    builder.ellipsoid([0.0, 0.004 * s, 0.004 * s], [0.142 * s, 0.012 * s, 0.168 * s], shell);
    builder.ellipsoid([0.0, 0.002 * s, 0.120 * s], [0.092 * s, 0.012 * s, 0.098 * s], shell);
    for (x, height) in [(0.0, 0.150), (-0.042, 0.141), (0.042, 0.141)] {
        builder.dome([x * s, 0.0, -0.004 * s], [0.010 * s, height * s, 0.126 * s], 0.07 * s, shell);
    }
    builder.frame = outer;
}

struct Head<'a> {
    builder: Builder<'a>,
    scale: f32,
}

impl Head<'_> {
    fn lump(&mut self, at: [f32; 3], half: [f32; 3], material: Material) {
        let s = self.scale;
        self.builder.ellipsoid(at.map(|v| v * s), half.map(|v| v * s), material);
    }

    fn dome(&mut self, at: [f32; 3], half: [f32; 3], level: f32, material: Material) {
        let s = self.scale;
        self.builder.dome(at.map(|v| v * s), half.map(|v| v * s), level * s, material);
    }

    fn tube(&mut self, from: [f32; 3], to: [f32; 3], radius: f32, material: Material) {
        let s = self.scale;
        self.builder.tube(from.map(|v| v * s), to.map(|v| v * s), radius * s, material);
    }

    fn face(&mut self, looks: &Looks) {
        let skin = looks.skin_material();
        let dark = Material::plain(looks.skin * 0.22).grainy(0.0);
        self.lump([0.0, 0.02, -0.005], [0.082, 0.105, 0.102], skin);
        self.lump([0.0, -0.055, 0.028], [0.062, 0.068, 0.066], skin);
        self.lump([0.0, -0.012, 0.100], [0.014, 0.026, 0.020], skin);
        for side in [-1.0, 1.0] {
            self.lump([side * 0.083, -0.005, 0.0], [0.014, 0.032, 0.020], skin);
            self.lump([side * 0.034, 0.016, 0.085], [0.018, 0.009, 0.014], dark);
        }
        self.lump([0.0, -0.066, 0.087], [0.024, 0.006, 0.008], dark);
        if looks.beard {
            let beard = Material::plain(looks.hair).grainy(0.3).glossy(0.0);
            self.lump([0.0, -0.078, 0.032], [0.066, 0.058, 0.066], beard);
        }
    }

    fn hair(&mut self, colour: Vec3, cut: HairCut) {
        let hair = Material::plain(colour).grainy(0.35).glossy(0.1);
        // The plane leans back: it leaves the face free and covers the neck.
        let frame = self.builder.frame;
        let back = frame.along(0.0, 0.62, -0.78);
        let mut cap = |half: [f32; 3], level: f32| {
            let s = self.scale;
            let middle = frame.moved(frame.at(0.0, 0.022 * s, -0.010 * s));
            let shape =
                crate::shape::Shape::dome(&middle, half[0] * s, half[1] * s, half[2] * s, back, level * s);
            self.builder.scene.add(self.builder.object, hair, shape);
        };
        match cut {
            HairCut::Bald => {}
            HairCut::Short => cap([0.088, 0.112, 0.108], -0.012),
            HairCut::Full => {
                cap([0.098, 0.122, 0.118], -0.028);
                self.lump([0.0, -0.03, -0.05], [0.088, 0.08, 0.06], hair);
            }
            HairCut::Tied => {
                cap([0.091, 0.115, 0.111], -0.016);
                self.lump([0.0, 0.03, -0.125], [0.038, 0.040, 0.035], hair);
                self.lump([0.0, -0.05, -0.115], [0.026, 0.075, 0.026], hair);
            }
        }
    }
}
