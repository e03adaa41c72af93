//! What a figure looks like: stature, skin, clothes and what it wears on its head.

use crate::material::{Material, Pattern, grey};
use crate::rng::Rng;
use crate::vector::{Vec3, rgb};

/// What is on the head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Headwear {
    /// A safety helmet of this colour.
    Helmet(Vec3),
    /// Nothing but short, long or no hair.
    Hair(HairCut),
    /// A cap with a visor.
    Cap(Vec3),
    /// A knitted cap.
    Beanie(Vec3),
    /// A hood, put up.
    Hood(Vec3),
}

/// How much hair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HairCut {
    /// None.
    Bald,
    /// Short.
    Short,
    /// Full, over the ears.
    Full,
    /// With a tail or a bun.
    Tied,
}

/// One person's looks.
#[derive(Clone, Copy, Debug)]
pub struct Looks {
    /// Height in metres, without headwear.
    pub stature: f32,
    /// Width relative to the usual.
    pub build: f32,
    /// Skin.
    pub skin: Vec3,
    /// Hair and beard.
    pub hair: Vec3,
    /// Whether there is a beard.
    pub beard: bool,
    /// On the head.
    pub headwear: Headwear,
    /// The jacket or shirt.
    pub jacket: Vec3,
    /// The vest over it and the colour of its bands.
    pub vest: Option<(Vec3, Vec3)>,
    /// Whether the arms are covered.
    pub long_sleeves: bool,
    /// The trousers, and whether they have reflecting rings.
    pub trousers: (Vec3, bool),
    /// The boots.
    pub boots: Vec3,
    /// The gloves.
    pub gloves: Option<Vec3>,
}

/// A usual colour of safety helmets, a little faded.
pub fn helmet_colour(rng: &mut Rng) -> Vec3 {
    let colours = [
        rgb(240, 240, 236),
        rgb(240, 240, 236),
        rgb(246, 205, 30),
        rgb(246, 205, 30),
        rgb(240, 120, 28),
        rgb(205, 38, 34),
        rgb(36, 84, 178),
        rgb(40, 132, 70),
    ];
    rng.pick(&colours) * rng.range(0.75, 1.05)
}

/// The surface of a safety helmet.
pub fn helmet_material(colour: Vec3) -> Material {
    Material::plain(colour).glossy(0.45).grainy(0.06)
}

impl Looks {
    /// Random looks, with a safety helmet or without.
    pub fn random(helmet: bool, rng: &mut Rng) -> Looks {
        let skins = [
            rgb(236, 196, 170),
            rgb(224, 172, 138),
            rgb(198, 142, 104),
            rgb(160, 108, 74),
            rgb(116, 76, 52),
            rgb(78, 52, 38),
        ];
        let hairs = [
            rgb(28, 24, 22),
            rgb(52, 36, 26),
            rgb(92, 62, 38),
            rgb(168, 130, 80),
            rgb(130, 128, 126),
            rgb(120, 58, 30),
        ];
        let cloths = [
            rgb(34, 40, 58),
            rgb(60, 62, 66),
            rgb(30, 30, 32),
            rgb(110, 112, 116),
            rgb(84, 74, 56),
            rgb(44, 66, 104),
            rgb(108, 40, 36),
            rgb(52, 78, 54),
            rgb(176, 168, 150),
            rgb(220, 220, 216),
        ];
        let trousers = [
            rgb(34, 40, 58),
            rgb(40, 58, 92),
            rgb(56, 56, 60),
            rgb(28, 28, 30),
            rgb(98, 86, 66),
            rgb(120, 112, 92),
        ];
        let vivid = [rgb(206, 235, 40), rgb(206, 235, 40), rgb(250, 112, 26), rgb(250, 70, 40)];
        let soft = |rng: &mut Rng| -> Vec3 {
            if rng.chance(0.45) { helmet_colour(rng) * 0.85 } else { rng.pick(&cloths) }
        };
        let headwear = if helmet {
            Headwear::Helmet(helmet_colour(rng))
        } else {
            match rng.below(20) {
                0..10 => Headwear::Hair(rng.pick(&[
                    HairCut::Bald,
                    HairCut::Short,
                    HairCut::Short,
                    HairCut::Full,
                    HairCut::Tied,
                ])),
                10..14 => Headwear::Cap(soft(rng)),
                14..18 => Headwear::Beanie(soft(rng)),
                _ => Headwear::Hood(soft(rng)),
            }
        };
        let bands = if rng.chance(0.85) { grey(0.72) } else { rgb(225, 240, 80) };
        let jacket = if rng.chance(0.2) { rng.pick(&vivid) } else { rng.pick(&cloths) };
        Looks {
            stature: rng.range(1.6, 1.92),
            build: rng.range(0.88, 1.18),
            skin: rng.pick(&skins) * rng.range(0.85, 1.1),
            hair: rng.pick(&hairs) * rng.range(0.7, 1.2),
            beard: rng.chance(0.3),
            headwear,
            jacket: jacket * rng.range(0.75, 1.15),
            vest: rng.chance(0.72).then(|| (rng.pick(&vivid) * rng.range(0.7, 1.0), bands)),
            long_sleeves: rng.chance(0.7),
            trousers: (rng.pick(&trousers) * rng.range(0.8, 1.2), rng.chance(0.3)),
            boots: rng.pick(&[rgb(40, 32, 26), rgb(24, 24, 24), rgb(110, 76, 42)]),
            gloves: rng
                .chance(0.4)
                .then(|| rng.pick(&[rgb(200, 150, 60), rgb(50, 50, 52), rgb(190, 190, 186)])),
        }
    }

    /// The surface of the hands.
    pub fn hand_material(&self) -> Material {
        Material::plain(self.gloves.unwrap_or(self.skin)).grainy(0.08)
    }

    /// The surface of the skin.
    pub fn skin_material(&self) -> Material {
        Material::plain(self.skin).grainy(0.06).glossy(0.08)
    }

    /// The surface of the legs; `ring` lies where the reflecting ring would be.
    pub fn trouser_material(&self, ring: Pattern) -> Material {
        let cloth = Material::plain(self.trousers.0).grainy(0.22).glossy(0.0);
        if self.trousers.1 { cloth.with(ring) } else { cloth }
    }
}
