//! Builds a person from shapes: limbs, trunk and clothes; `head` adds the head.

use crate::head;
use crate::material::{Material, Pattern, grey};
use crate::pose::Pose;
use crate::scene::{Class, Scene};
use crate::shape::Shape;
use crate::vector::{Frame, UP, Vec3};
use crate::wardrobe::{Headwear, Looks};

/// Length of the thigh, the shin, the upper arm and the forearm, for a stature of 1.75 m.
const THIGH: f32 = 0.44;
const SHIN: f32 = 0.42;
const UPPER_ARM: f32 = 0.29;
const FOREARM: f32 = 0.26;
/// Height of the ankle and of a kneeling knee's middle above the ground.
const ANKLE: f32 = 0.085;
const KNEE: f32 = 0.07;

/// Where a built figure's hands are, for what it carries.
#[derive(Clone, Copy, Debug)]
pub struct Built {
    /// Left and right hand.
    pub hands: [Vec3; 2],
    /// The trunk, with its origin in the pelvis.
    pub trunk: Frame,
    /// The factor on all lengths.
    pub scale: f32,
}

/// Adds a person who stands at `place` on the ground and faces `heading`.
pub fn add(scene: &mut Scene, looks: &Looks, pose: &Pose, place: Vec3, heading: f32) -> Built {
    let scale = looks.stature / 1.75;
    let root = Frame::upright(place, heading);
    let legs = [0, 1].map(|side| leg(&root, pose, side, scale));
    let lowest = legs
        .iter()
        .map(|leg| (leg.ankle.y - ANKLE * scale).min(leg.knee.y - KNEE * scale))
        .fold(f32::INFINITY, f32::min);
    let lift = UP * (place.y - lowest);
    let pelvis = root.moved(place + lift);
    let trunk = pelvis.yawed(pose.twist).pitched(pose.lean);

    let class = match looks.headwear {
        Headwear::Helmet(_) => Class::HelmetOn,
        _ => Class::HelmetOff,
    };
    let person = scene.object(Class::Person, None);
    let head_object = scene.object(class, Some(person));
    let mut figure = Figure { scene, looks, person, scale };
    for leg in &legs {
        figure.leg(leg, lift, place);
    }
    figure.trunk(&trunk);
    let hands = [0, 1].map(|side| figure.arm(&trunk, pose, side));
    let neck = trunk.at(0.0, 0.50 * scale, 0.0);
    // The neck makes up for most of the trunk's bow, so that the face looks ahead.
    let skull = pelvis.yawed(pose.twist + pose.look).pitched(0.45 * pose.lean + pose.nod);
    let middle =
        neck + trunk.up * (0.06 * scale) + skull.up * (0.105 * scale) + skull.forward * (0.02 * scale);
    figure.limb([neck - trunk.up * 0.02, middle - skull.up * 0.05], [0.058, 0.055], looks.skin_material());
    head::add(scene, looks, head_object, &skull.moved(middle), scale);

    scene.contact(place, 0.55 * scale, 0.55);
    for leg in &legs {
        let foot = leg.ankle + lift;
        if foot.y < place.y + 0.3 {
            scene.contact(foot, 0.24 * scale, 0.6);
        }
    }
    Built { hands, trunk, scale }
}

struct Leg {
    hip: Vec3,
    knee: Vec3,
    ankle: Vec3,
    foot: Frame,
}

fn side_of(side: usize) -> f32 {
    if side == 0 { -1.0 } else { 1.0 }
}

fn leg(root: &Frame, pose: &Pose, side: usize, scale: f32) -> Leg {
    let out = side_of(side) * pose.spread;
    let down = |angle: f32| root.along(out, -angle.cos(), angle.sin()).normalized();
    let hip = root.at(side_of(side) * 0.095 * scale, 0.0, 0.0);
    let knee = hip + down(pose.thigh[side]) * (THIGH * scale);
    let shin = pose.thigh[side] - pose.knee[side];
    let ankle = knee + down(shin) * (SHIN * scale);
    let foot = root.yawed(out * 1.2).pitched((-shin * 0.75).max(-0.3)).moved(ankle);
    Leg { hip, knee, ankle, foot }
}

struct Figure<'a> {
    scene: &'a mut Scene,
    looks: &'a Looks,
    person: usize,
    scale: f32,
}

impl Figure<'_> {
    fn limb(&mut self, ends: [Vec3; 2], radii: [f32; 2], material: Material) {
        let radii = radii.map(|radius| radius * self.scale);
        self.scene.add(Some(self.person), material, Shape::RoundCone { ends, radii });
    }

    fn lump(&mut self, frame: &Frame, half: [f32; 3], material: Material) {
        let [x, y, z] = half.map(|half| half * self.scale);
        self.scene.add(Some(self.person), material, Shape::ellipsoid(frame, x, y, z));
    }

    fn leg(&mut self, leg: &Leg, lift: Vec3, place: Vec3) {
        let wide = self.looks.build;
        let ring =
            Pattern::Rings { origin: place, up: UP, rings: [[0.26, 0.31], [0.38, 0.43]], second: grey(0.7) };
        let cloth = self.looks.trouser_material(ring);
        let (hip, knee, ankle) = (leg.hip + lift, leg.knee + lift, leg.ankle + lift);
        self.limb([hip, knee], [0.092 * wide, 0.064 * wide], cloth);
        self.limb([knee, ankle], [0.064 * wide, 0.050], cloth);
        let boot = Material::plain(self.looks.boots).glossy(0.1);
        let foot = leg.foot.moved(ankle);
        self.limb([ankle + foot.up * 0.08 * self.scale, ankle - foot.up * 0.02], [0.056, 0.054], boot);
        let toe = foot.moved(foot.at(0.0, -0.04 * self.scale, 0.065 * self.scale));
        self.lump(&toe, [0.052, 0.046, 0.135], boot);
    }

    fn trunk(&mut self, trunk: &Frame) {
        let (looks, s, wide) = (self.looks, self.scale, self.looks.build);
        let cloth = Material::plain(looks.jacket).grainy(0.2).glossy(0.0);
        let outer = match looks.vest {
            Some((vest, second)) => {
                let pattern = Pattern::Vest { origin: trunk.origin, up: trunk.up, side: trunk.right, second };
                Material { glow: 0.08, ..Material::plain(vest).grainy(0.14).with(pattern) }
            }
            None => cloth,
        };
        let at = |y: f32, z: f32| trunk.moved(trunk.at(0.0, y * s, z * s));
        let trousers = looks.trouser_material(Pattern::Plain);
        let trousers = Material { pattern: Pattern::Plain, ..trousers };
        self.lump(&at(0.01, -0.005), [0.162 * wide, 0.12, 0.118 * wide], trousers);
        self.lump(&at(0.15, 0.005), [0.165 * wide, 0.19, 0.122 * wide], outer);
        self.lump(&at(0.33, 0.0), [0.186 * wide, 0.19, 0.130 * wide], outer);
        let shoulder = |side: f32| trunk.at(side * 0.13 * s * wide, 0.435 * s, -0.005);
        self.limb([shoulder(-1.0), shoulder(1.0)], [0.070, 0.070], outer);
        let collar = [trunk.at(0.0, 0.47 * s, -0.01 * s), trunk.at(0.0, 0.52 * s, -0.005 * s)];
        self.limb(collar, [0.074, 0.064], cloth);
    }

    fn arm(&mut self, trunk: &Frame, pose: &Pose, side: usize) -> Vec3 {
        let (looks, s) = (self.looks, self.scale);
        let out = side_of(side);
        let joint = trunk.at(out * 0.195 * s * looks.build, 0.43 * s, 0.0);
        // Arms hang from the trunk's turn but not from its bow: weight pulls them down.
        let base = Frame { up: UP, forward: trunk.right.cross(UP).normalized(), ..*trunk };
        let reach = |pitch: f32, abduct: f32| {
            base.along(out * abduct.sin(), -pitch.cos() * abduct.cos(), pitch.sin() * abduct.cos())
                .normalized()
        };
        let elbow = joint + reach(pose.shoulder[side], pose.abduct[side]) * (UPPER_ARM * s);
        let bent = pose.shoulder[side] + pose.elbow[side];
        let inward = pose.abduct[side] - 0.25 * pose.elbow[side].min(1.2);
        let wrist = elbow + reach(bent, inward) * (FOREARM * s);
        let hand = wrist + (wrist - elbow).normalized() * (0.06 * s);
        let sleeve = Material::plain(looks.jacket).grainy(0.2).glossy(0.0);
        let skin = looks.skin_material();
        self.limb([joint, elbow], [0.060, 0.048], sleeve);
        self.limb([elbow, wrist], [0.047, 0.034], if looks.long_sleeves { sleeve } else { skin });
        self.limb([wrist, hand], [0.034, 0.042], looks.hand_material());
        hand
    }
}
