//! The demo clip's three parts: their sites, cameras and people.

use crate::light::Weather;
use crate::motion::{Activity, Step};
use crate::props::Prop;

/// One part of the clip: a site seen by a fixed camera.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Length in seconds.
    pub seconds: f32,
    /// Chooses ground, background and looks.
    pub stream: u64,
    /// The weather.
    pub weather: Weather,
    /// The mean brightness that the camera exposes for.
    pub exposure: f32,
    /// Height of the camera in metres.
    pub eye: f32,
    /// The depth in metres that lies in the picture's middle, about.
    pub depth: f32,
    /// Focal length as a multiple of the picture's width.
    pub focal: f32,
    /// How long the shutter is open, in seconds; zero for no motion blur.
    pub shutter: f32,
    /// Deviation of the sensor's noise.
    pub noise: f32,
    /// The distance of the background in metres.
    pub background: f32,
    /// A truck or digger: x, z and heading.
    pub vehicle: Option<[f32; 3]>,
    /// Things: what, x, z, heading, and whether a helmet lies on top.
    pub props: &'static [(Prop, f32, f32, f32, bool)],
    /// Helmets on the ground: x and z.
    pub helmets: &'static [[f32; 2]],
    /// The people.
    pub cast: &'static [Role],
}

/// Somebody in a part.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    /// Whether the head wears a safety helmet.
    pub helmet: bool,
    /// What is carried.
    pub carries: Carries,
    /// The starting place: x and z.
    pub start: [f32; 2],
    /// What they do.
    pub steps: &'static [Step],
}

/// What somebody carries through the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Nothing.
    Nothing,
    /// A safety helmet.
    Helmet,
    /// A box.
    Carton,
    /// A plank.
    Plank,
    /// A bucket.
    Bucket,
    /// A tool.
    Tool,
}

use Activity::{Bend, Call, Kneel, Point, Squat, Stand, Work};
use Step::{Stay, Walk};

const fn role(helmet: bool, carries: Carries, start: [f32; 2], steps: &'static [Step]) -> Role {
    Role { helmet, carries, start, steps }
}

/// The clip: easy, then medium, then hard.
pub const PARTS: [Part; 3] = [
    Part {
        seconds: 10.4,
        stream: 11,
        weather: Weather::Sun,
        exposure: 0.22,
        eye: 3.2,
        depth: 10.5,
        focal: 0.98,
        shutter: 0.0,
        noise: 0.5,
        background: 23.0,
        vehicle: Some([5.8, 19.0, 1.9]),
        props: &[
            (Prop::Pallet, -4.3, 12.0, 0.4, true),
            (Prop::TrafficCone, 4.2, 8.6, 0.0, false),
            (Prop::Planks, -6.5, 15.5, 1.1, false),
            (Prop::Barrel, 5.2, 13.2, 0.0, true),
            (Prop::Barrier, 0.4, 16.4, 0.15, false),
        ],
        helmets: &[[0.9, 7.6]],
        cast: &[
            role(true, Carries::Nothing, [-6.2, 10.4], &[Walk([6.5, 11.4], 1.2)]),
            role(
                false,
                Carries::Nothing,
                [2.7, 9.3],
                &[Stay(4.2, Call, 2.6), Walk([-2.4, 13.4], 1.1), Stay(4.0, Stand, 2.9)],
            ),
            role(true, Carries::Tool, [-2.5, 9.2], &[Stay(6.0, Kneel, 2.4), Walk([-4.6, 14.5], 1.1)]),
            role(false, Carries::Helmet, [3.6, 16.6], &[Walk([0.6, 8.9], 1.0), Stay(5.0, Stand, -2.8)]),
        ],
    },
    Part {
        seconds: 11.0,
        stream: 22,
        weather: Weather::Overcast,
        exposure: 0.21,
        eye: 4.4,
        depth: 12.2,
        focal: 0.94,
        shutter: 0.012,
        noise: 0.6,
        background: 27.0,
        vehicle: Some([-6.8, 18.6, 0.9]),
        props: &[
            (Prop::Barrier, 1.2, 12.6, 0.1, false),
            (Prop::Block, -2.9, 11.0, 0.25, true),
            (Prop::Barrel, 4.6, 11.2, 0.0, true),
            (Prop::Barrel, 5.3, 11.8, 0.0, false),
            (Prop::VestStand, -4.9, 13.2, 0.4, false),
            (Prop::Lamp, 6.4, 15.0, 0.0, false),
            (Prop::Ball, -1.0, 8.3, 0.0, false),
            (Prop::TrafficCone, 2.9, 8.7, 0.0, false),
            (Prop::Crate, 2.2, 15.8, 0.5, true),
            (Prop::Bucket, -3.9, 8.9, 0.0, false),
            (Prop::Table, 6.0, 18.2, 0.3, false),
        ],
        helmets: &[[1.2, 8.4], [-4.6, 10.0]],
        cast: &[
            role(true, Carries::Nothing, [-6.4, 10.2], &[Walk([7.5, 10.4], 1.3)]),
            role(false, Carries::Carton, [6.9, 13.4], &[Walk([-7.5, 12.4], 1.35)]),
            role(true, Carries::Tool, [-2.2, 15.3], &[Stay(12.0, Work, 0.5)]),
            role(
                false,
                Carries::Nothing,
                [3.6, 10.0],
                &[Stay(4.0, Bend, -1.1), Walk([1.2, 14.2], 1.2), Stay(6.0, Call, 3.0)],
            ),
            role(true, Carries::Plank, [0.3, 18.6], &[Walk([-1.2, 9.4], 1.15), Walk([-6.5, 8.6], 1.2)]),
            role(false, Carries::Helmet, [-6.4, 16.4], &[Walk([4.4, 14.6], 1.25), Stay(5.0, Point, -2.0)]),
        ],
    },
    Part {
        seconds: 11.4,
        stream: 33,
        weather: Weather::Dusk,
        exposure: 0.085,
        eye: 4.8,
        depth: 13.0,
        focal: 0.98,
        shutter: 0.03,
        noise: 0.9,
        background: 28.0,
        vehicle: Some([6.6, 19.4, -2.3]),
        props: &[
            (Prop::Barrier, -1.8, 13.8, -0.1, false),
            (Prop::Block, 2.6, 12.4, 0.2, true),
            (Prop::Barrel, -5.0, 12.6, 0.0, true),
            (Prop::Drum, -6.2, 15.2, 0.6, false),
            (Prop::Lamp, 0.6, 17.4, 0.0, false),
            (Prop::Post, 4.4, 10.6, 0.0, false),
            (Prop::Ball, 2.6, 9.3, 0.0, false),
            (Prop::Ball, -3.2, 9.9, 0.0, false),
            (Prop::VestStand, 5.6, 14.6, 0.2, false),
            (Prop::Bottle, -1.9, 10.2, 0.0, false),
            (Prop::Crate, -0.2, 11.8, 0.3, true),
            (Prop::TrafficCone, 3.9, 16.2, 0.0, false),
            (Prop::Heap, -3.8, 17.4, 0.0, false),
        ],
        helmets: &[[0.9, 9.6], [-4.4, 10.8], [4.9, 12.4]],
        cast: &[
            role(
                true,
                Carries::Nothing,
                [-7.0, 12.0],
                &[Walk([6.8, 13.4], 1.9), Stay(0.4, Stand, 0.5), Walk([-1.0, 16.2], 1.8)],
            ),
            role(false, Carries::Helmet, [7.0, 11.2], &[Walk([-6.9, 11.6], 1.8), Walk([-5.0, 16.6], 1.6)]),
            role(true, Carries::Plank, [-6.0, 16.8], &[Walk([6.6, 15.6], 1.6), Walk([2.0, 10.8], 1.7)]),
            role(
                false,
                Carries::Nothing,
                [0.9, 13.2],
                &[
                    Stay(3.0, Squat, -2.2),
                    Walk([-3.4, 12.4], 1.9),
                    Stay(2.0, Bend, -0.6),
                    Walk([3.4, 14.0], 1.8),
                ],
            ),
            role(true, Carries::Bucket, [4.8, 17.6], &[Walk([-0.6, 10.4], 1.7), Walk([-6.5, 9.6], 1.8)]),
            role(false, Carries::Carton, [-2.6, 17.8], &[Walk([1.6, 11.4], 1.6), Walk([7.0, 11.0], 1.8)]),
            role(true, Carries::Tool, [3.4, 14.9], &[Stay(12.0, Work, -2.4)]),
        ],
    },
];
