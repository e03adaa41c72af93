//! What people carry.

use crate::figure::Built;
use crate::head;
use crate::material::{Material, grey};
use crate::rng::Rng;
use crate::scene::Scene;
use crate::vector::{Frame, UP, Vec3, rgb};
use crate::wardrobe::helmet_colour;

/// A load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// A safety helmet of this colour in the right hand.
    Helmet(Vec3),
    /// A box in both hands.
    Carton(Vec3),
    /// A plank on the shoulder.
    Plank,
    /// A bucket in the left hand.
    Bucket(Vec3),
    /// A sheet or tablet in both hands.
    Tablet,
    /// A tool with a long handle in the right hand.
    Tool,
}

impl Load {
    /// A random load.
    pub fn random(rng: &mut Rng) -> Load {
        match rng.below(10) {
            0..4 => Load::Helmet(helmet_colour(rng)),
            4 => Load::Carton(rng.pick(&[rgb(176, 136, 90), rgb(60, 90, 140), rgb(190, 60, 40)])),
            5 => Load::Plank,
            6 | 7 => Load::Bucket(helmet_colour(rng)),
            8 => Load::Tablet,
            _ => Load::Tool,
        }
    }

    /// Whether both hands hold it in front.
    pub fn takes_both_hands(self) -> bool {
        matches!(self, Load::Carton(_) | Load::Tablet)
    }

    /// Adds the load to a figure. A helmet gets its own label; other loads have none.
    pub fn add(self, scene: &mut Scene, built: &Built, heading: f32) {
        let upright = Frame::upright(built.hands[1], heading);
        let between = built.hands[0].mix(built.hands[1], 0.5);
        match self {
            Load::Helmet(colour) => {
                let place = built.hands[1] - UP * 0.10 + upright.right * 0.05;
                head::loose_helmet(scene, &upright.moved(place).rolled(1.0).pitched(0.3), colour);
            }
            Load::Carton(colour) => {
                let frame = upright.moved(between + upright.forward * 0.12 + UP * 0.02);
                let paper = Material::plain(colour).grainy(0.15);
                scene.build(frame, None).cuboid([0.0; 3], [0.22, 0.15, 0.16], paper);
            }
            Load::Plank => {
                let wood = Material::plain(rgb(190, 156, 108)).grainy(0.3).glossy(0.0);
                let s = built.scale;
                let frame = upright.moved(built.trunk.at(0.16 * s, 0.54 * s, 0.0)).pitched(0.08);
                scene.build(frame, None).cuboid([0.02, 0.0, 0.1], [0.06, 0.025, 1.3], wood);
            }
            Load::Bucket(colour) => {
                let mut bucket = scene.build(upright.moved(built.hands[0]), None);
                let plastic = Material::plain(colour).glossy(0.2);
                bucket.cone([0.0, -0.40, 0.0], [0.0, -0.14, 0.0], [0.10, 0.13], plastic);
                bucket.tube([-0.12, -0.15, 0.0], [0.0, -0.01, 0.0], 0.006, Material::plain(grey(0.1)));
                bucket.tube([0.12, -0.15, 0.0], [0.0, -0.01, 0.0], 0.006, Material::plain(grey(0.1)));
            }
            Load::Tablet => {
                let frame = upright.moved(between + upright.forward * 0.06).pitched(0.7);
                let sheet = Material::plain(grey(0.7)).grainy(0.0);
                scene.build(frame, None).cuboid([0.0; 3], [0.14, 0.01, 0.19], sheet);
            }
            Load::Tool => {
                let mut tool = scene.build(upright.pitched(0.5), None);
                let wood = Material::plain(rgb(170, 130, 80)).grainy(0.2);
                tool.tube([0.0, -0.75, 0.0], [0.0, 0.5, 0.0], 0.018, wood);
                tool.cuboid([0.0, -0.85, 0.0], [0.12, 0.15, 0.015], Material::plain(grey(0.15)).glossy(0.3));
            }
        }
    }
}
