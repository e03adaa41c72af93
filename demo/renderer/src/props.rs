//! Things that lie about on a site, many of them helmet-coloured or round; none has a label.

use crate::material::{Material, Pattern, grey};
use crate::rng::Rng;
use crate::scene::{Builder, Scene};
use crate::vector::{Frame, Vec3, rgb};
use crate::wardrobe::helmet_colour;

/// A kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prop {
    /// A traffic cone.
    TrafficCone,
    /// A steel or plastic barrel.
    Barrel,
    /// A bucket.
    Bucket,
    /// A pallet with bricks or bags.
    Pallet,
    /// A pile of planks or pipes.
    Planks,
    /// A pile of sand or gravel.
    Heap,
    /// A red-and-white board on feet.
    Barrier,
    /// A concrete barrier.
    Block,
    /// A portable toilet.
    Toilet,
    /// A cable drum.
    Drum,
    /// A trestle table.
    Table,
    /// A hi-vis vest on a stand.
    VestStand,
    /// A round lamp on a tripod.
    Lamp,
    /// A fire extinguisher or gas bottle.
    Bottle,
    /// A coloured ball or buoy on the ground.
    Ball,
    /// A post with a round top.
    Post,
    /// A wooden crate.
    Crate,
}

impl Prop {
    /// Things that are low enough to lie between people.
    pub const SMALL: [Prop; 17] = [
        Prop::TrafficCone,
        Prop::TrafficCone,
        Prop::Barrel,
        Prop::Bucket,
        Prop::Pallet,
        Prop::Planks,
        Prop::Heap,
        Prop::Barrier,
        Prop::Block,
        Prop::Drum,
        Prop::Table,
        Prop::VestStand,
        Prop::Lamp,
        Prop::Bottle,
        Prop::Ball,
        Prop::Post,
        Prop::Crate,
    ];

    /// The radius of the ground that it takes, in metres.
    pub fn radius(self) -> f32 {
        match self {
            Prop::Ball | Prop::Bucket | Prop::Bottle | Prop::Post => 0.25,
            Prop::TrafficCone | Prop::VestStand | Prop::Lamp => 0.35,
            Prop::Barrel | Prop::Crate => 0.45,
            Prop::Pallet | Prop::Drum | Prop::Toilet => 0.85,
            Prop::Planks | Prop::Table | Prop::Heap => 1.2,
            Prop::Barrier | Prop::Block => 1.1,
        }
    }

    /// Adds the thing; returns a place on top where a helmet may lie, if it has one.
    pub fn add(self, scene: &mut Scene, place: Vec3, heading: f32, rng: &mut Rng) -> Option<Vec3> {
        let radius = self.radius();
        scene.contact(place, radius * 1.25 + 0.1, 0.6);
        let mut thing = scene.build(Frame::upright(place, heading), None);
        let top = thing.make(self, rng);
        top.map(|(height, x)| thing.frame.at(x, height, 0.0))
    }
}

fn wood(rng: &mut Rng) -> Material {
    let colours = [rgb(186, 150, 104), rgb(150, 118, 82), rgb(204, 176, 130), rgb(128, 110, 90)];
    Material::plain(rng.pick(&colours) * rng.range(0.8, 1.1)).grainy(0.35).glossy(0.0)
}

impl Builder<'_> {
    /// Returns the height of a flat top and how far it lies to the side.
    fn make(&mut self, prop: Prop, rng: &mut Rng) -> Option<(f32, f32)> {
        let bright = Material::plain(helmet_colour(rng)).glossy(0.2);
        let steel = Material::plain(grey(rng.range(0.12, 0.4))).glossy(0.3);
        match prop {
            Prop::TrafficCone => {
                let h = rng.range(0.45, 0.8);
                let rings = [[0.38 * h, 0.55 * h], [0.70 * h, 0.82 * h]];
                let (origin, up) = (self.frame.origin, self.frame.up);
                let orange = Material::plain(rgb(246, 92, 30) * rng.range(0.7, 1.0)).grainy(0.1);
                let skin = orange.with(Pattern::Rings { origin, up, rings, second: grey(0.8) });
                self.cuboid([0.0, 0.02, 0.0], [0.19, 0.02, 0.19], orange);
                self.cone([0.0, 0.04, 0.0], [0.0, h, 0.0], [0.15, 0.03], skin);
                None
            }
            Prop::Barrel => {
                let paint = if rng.chance(0.6) { bright } else { steel }.grainy(0.3);
                self.cone([0.0, 0.0, 0.0], [0.0, 0.88, 0.0], [0.29, 0.29], paint);
                for y in [0.3, 0.58] {
                    self.cone([0.0, y - 0.012, 0.0], [0.0, y + 0.012, 0.0], [0.302, 0.302], paint);
                }
                self.cone([0.0, 0.86, 0.0], [0.0, 0.90, 0.0], [0.30, 0.30], steel);
                Some((0.90, rng.range(-0.08, 0.08)))
            }
            Prop::Bucket => {
                self.cone([0.0, 0.0, 0.0], [0.0, 0.30, 0.0], [0.11, 0.15], bright.grainy(0.2));
                let content = Material::plain(grey(rng.range(0.05, 0.4))).grainy(0.4);
                self.cone([0.0, 0.29, 0.0], [0.0, 0.302, 0.0], [0.135, 0.135], content);
                None
            }
            Prop::Pallet => {
                let wood = wood(rng);
                self.cuboid([0.0, 0.06, 0.0], [0.6, 0.06, 0.4], wood);
                let h = rng.range(0.15, 0.5);
                let load = if rng.chance(0.5) {
                    let second = rgb(164, 84, 60) * rng.range(0.7, 1.1);
                    Material::plain(rgb(120, 108, 98)).with(Pattern::Grid {
                        cell: [0.25, 0.085],
                        share: [0.92, 0.85],
                        second,
                    })
                } else {
                    Material::plain(rgb(190, 184, 170) * rng.range(0.7, 1.1)).with(Pattern::Grid {
                        cell: [0.5, 0.14],
                        share: [0.94, 0.8],
                        second: rgb(208, 202, 190) * rng.range(0.7, 1.0),
                    })
                };
                self.cuboid([0.0, 0.12 + h, 0.0], [0.55, h, 0.36], load.grainy(0.3));
                Some((0.12 + 2.0 * h, rng.range(-0.35, 0.35)))
            }
            Prop::Planks => {
                let pipes = rng.chance(0.35);
                for layer in 0..3 {
                    for column in 0..4 - layer {
                        let material = if pipes { steel } else { wood(rng) };
                        let x = (column as f32 - 0.5 * (3 - layer) as f32) * 0.26;
                        let (y, shift) = (0.09 + 0.17 * layer as f32, rng.range(-0.15, 0.15));
                        if pipes {
                            self.cone([x, y, -1.1], [x, y, 1.1], [0.095, 0.095], material);
                        } else {
                            self.cuboid([x, y, shift], [0.12, 0.06, 1.05], material);
                        }
                    }
                }
                (!pipes).then_some((0.49, 0.0))
            }
            Prop::Heap => {
                let colours = [rgb(196, 168, 118), rgb(120, 98, 76), rgb(150, 146, 140)];
                let earth = Material::plain(rng.pick(&colours) * rng.range(0.8, 1.1)).grainy(0.6).glossy(0.0);
                for _ in 0..3 {
                    let at = [rng.range(-0.5, 0.5), -0.05, rng.range(-0.3, 0.3)];
                    let half = [rng.range(0.6, 1.0), rng.range(0.4, 0.8), rng.range(0.5, 0.9)];
                    self.ellipsoid(at, half, earth);
                }
                None
            }
            Prop::Barrier => {
                let second = if rng.chance(0.8) { rgb(208, 36, 30) } else { rgb(30, 30, 30) };
                let first = if rng.chance(0.8) { grey(0.75) } else { rgb(240, 200, 30) };
                let stripes =
                    Pattern::Stripes { period: 0.5, share: 0.5, slant: rng.range(-0.6, 0.6), second };
                let board = Material::plain(first).with(stripes);
                self.cuboid([0.0, 0.9, 0.0], [1.0, 0.12, 0.02], board);
                if rng.chance(0.5) {
                    self.cuboid([0.0, 0.5, 0.0], [1.0, 0.09, 0.02], board);
                }
                for x in [-0.85, 0.85] {
                    self.cuboid([x, 0.5, 0.03], [0.03, 0.5, 0.02], steel);
                    self.cuboid([x, 0.03, 0.0], [0.05, 0.03, 0.3], Material::plain(grey(0.05)));
                    if rng.chance(0.5) {
                        let lamp = Material { glow: 0.5, ..Material::plain(rgb(250, 180, 30)) };
                        self.ellipsoid([x, 1.12, 0.0], [0.09, 0.09, 0.05], lamp);
                    }
                }
                None
            }
            Prop::Block => {
                let concrete = Material::plain(grey(rng.range(0.3, 0.5))).grainy(0.35).glossy(0.0);
                self.cuboid([0.0, 0.15, 0.0], [1.0, 0.15, 0.28], concrete);
                self.cuboid([0.0, 0.5, 0.0], [1.0, 0.35, 0.12], concrete);
                Some((0.85, rng.range(-0.8, 0.8)))
            }
            Prop::Toilet => {
                let second = rgb(20, 50, 90);
                let wall = Material::plain(rgb(36, 96, 160)).with(Pattern::Stripes {
                    period: 0.2,
                    share: 0.12,
                    slant: 0.0,
                    second,
                });
                self.cuboid([0.0, 1.1, 0.0], [0.55, 1.1, 0.55], wall);
                self.cuboid([0.0, 2.24, 0.0], [0.58, 0.06, 0.58], Material::plain(grey(0.6)));
                None
            }
            Prop::Drum => {
                let wood = wood(rng);
                for x in [-0.3, 0.3] {
                    self.cone([x - 0.03, 0.6, 0.0], [x + 0.03, 0.6, 0.0], [0.6, 0.6], wood);
                }
                let cable = Material::plain(grey(0.03)).glossy(0.2);
                self.cone([-0.28, 0.6, 0.0], [0.28, 0.6, 0.0], [0.4, 0.4], cable);
                None
            }
            Prop::Table => {
                let wood = wood(rng);
                self.cuboid([0.0, 0.78, 0.0], [0.9, 0.03, 0.4], wood);
                for (x, z) in [(-0.75, -0.3), (-0.75, 0.3), (0.75, -0.3), (0.75, 0.3)] {
                    self.tube([x, 0.0, z * 1.2], [x, 0.76, z * 0.8], 0.03, wood);
                }
                if rng.chance(0.6) {
                    self.cuboid([-0.5, 0.88, 0.0], [0.18, 0.08, 0.12], bright);
                }
                Some((0.81, rng.range(0.0, 0.7)))
            }
            Prop::VestStand => {
                let vivid = rng.pick(&[rgb(206, 235, 40), rgb(250, 112, 26)]) * rng.range(0.7, 1.0);
                self.tube([0.0, 0.0, 0.0], [0.0, 1.5, 0.0], 0.02, steel);
                let base = self.frame.at(0.0, 0.85, 0.0);
                let second = grey(0.72);
                let vest = Pattern::Vest { origin: base, up: self.frame.up, side: self.frame.right, second };
                let vest = Material { glow: 0.08, ..Material::plain(vivid).with(vest) };
                self.ellipsoid([0.0, 1.05, 0.0], [0.20, 0.30, 0.07], vest);
                self.tube([-0.17, 1.32, 0.0], [0.17, 1.32, 0.0], 0.05, vest);
                None
            }
            Prop::Lamp => {
                let h = rng.range(1.2, 2.0);
                for (x, z) in [(-0.3, -0.2), (0.3, -0.2), (0.0, 0.35)] {
                    self.tube([x, 0.0, z], [0.0, 0.8, 0.0], 0.018, steel);
                }
                self.tube([0.0, 0.8, 0.0], [0.0, h, 0.0], 0.022, steel);
                let glow = if rng.chance(0.5) { 1.2 } else { 0.0 };
                let globe = Material { glow, ..Material::plain(grey(0.8)).glossy(0.4) };
                self.ellipsoid([0.0, h + 0.13, 0.0], [0.15, 0.15, 0.15], globe);
                None
            }
            Prop::Bottle => {
                let red = Material::plain(rgb(190, 28, 24) * rng.range(0.7, 1.0)).glossy(0.4);
                let (r, h) = (rng.range(0.08, 0.13), rng.range(0.4, 0.9));
                self.tube([0.0, r, 0.0], [0.0, h, 0.0], r, red);
                self.tube([0.0, h + r, 0.0], [0.0, h + r + 0.07, 0.0], 0.025, Material::plain(grey(0.04)));
                None
            }
            Prop::Ball => {
                let r = rng.range(0.10, 0.22);
                self.ellipsoid([0.0, r, 0.0], [r, r, r], bright);
                None
            }
            Prop::Post => {
                let h = rng.range(0.8, 1.5);
                self.tube([0.0, 0.0, 0.0], [0.0, h, 0.0], 0.05, if rng.chance(0.5) { steel } else { bright });
                if rng.chance(0.5) {
                    self.ellipsoid([0.0, h + 0.08, 0.0], [0.11, 0.11, 0.11], bright);
                }
                None
            }
            Prop::Crate => {
                let second = rgb(110, 84, 56);
                let boards = wood(rng).with(Pattern::Grid { cell: [2.0, 0.16], share: [1.0, 0.12], second });
                let h = rng.range(0.25, 0.45);
                self.cuboid([0.0, h, 0.0], [0.42, h, 0.34], boards);
                Some((2.0 * h, rng.range(-0.2, 0.2)))
            }
        }
    }
}
