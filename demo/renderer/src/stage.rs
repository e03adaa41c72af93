//! Random stills: a camera, a site, people and things, each picture its own.

use crate::camera::View;
use crate::carry::Load;
use crate::figure;
use crate::ground::Ground;
use crate::head;
use crate::light::{Light, Weather};
use crate::pose::Pose;
use crate::props::Prop;
use crate::rng::Rng;
use crate::scene::Scene;
use crate::site;
use crate::vector::{Frame, UP, Vec3, vec3};
use crate::vehicle;
use crate::wardrobe::Looks;

/// A scene and the camera that looks at it.
#[derive(Clone, Debug)]
pub struct Still {
    /// The scene.
    pub scene: Scene,
    /// The camera.
    pub view: View,
    /// Whether the light is low, which brings noise.
    pub dark: bool,
    /// The mean brightness that the camera exposes for.
    pub exposure: f32,
    /// People's movement during the exposure, in metres: where motion blurs, a second scene and a third one show it.
    pub blurred: Vec<Scene>,
}

/// The share of people without a safety helmet.
const BARE: f32 = 0.45;

struct Actor {
    looks: Looks,
    pose: Pose,
    place: Vec3,
    heading: f32,
    load: Option<Load>,
    /// The way that it moves while the shutter is open, in metres.
    drift: Vec3,
}

/// Makes a random still.
pub fn random_still(rng: &mut Rng, width: usize, height: usize) -> Still {
    let weather = match rng.below(20) {
        0..7 => Weather::Sun,
        7..12 => Weather::Overcast,
        12..16 => Weather::Dusk,
        16..18 => Weather::Backlight,
        _ => Weather::Haze,
    };
    let light = Light::random(weather, rng);
    let exposure = light.exposure * rng.log_range(0.75, 1.3);
    let focal = width as f32 * rng.range(0.72, 1.3);
    // The size of a person in the middle of the working area, in pixels at a height of 720.
    let size = rng.log_range(120.0, 270.0) * height as f32 / 720.0;
    let depth = (focal * 1.75 / size).clamp(4.5, 26.0);
    let eye = rng.range(2.0, 6.0).min(0.55 * depth + 0.6);
    let pitch = ((eye - 1.1) / depth).atan() + rng.range(-0.08, 0.08);
    let view = View::pinhole(vec3(0.0, eye, 0.0), 0.0, pitch, focal, width, height);

    let mut stage = Stage { scene: Scene::new(Ground::random(rng), light), view, taken: Vec::new(), depth };
    let mut actors = Vec::new();
    let people = match rng.below(25) {
        0 => 0,
        1..4 => 1 + rng.below(2),
        4..17 => 4 + rng.below(3),
        _ => 7 + rng.below(3),
    };
    for _ in 0..people {
        if let Some(actor) = stage.actor(&actors, rng) {
            actors.push(actor);
        }
    }
    stage.dress(rng);
    let mut blurred = Vec::new();
    if rng.chance(if weather == Weather::Dusk { 0.4 } else { 0.12 }) {
        for shift in [-0.5, 0.5] {
            let mut scene = stage.scene.clone();
            actors.iter().for_each(|actor| actor.add(&mut scene, shift));
            blurred.push(scene);
        }
    }
    let mut scene = stage.scene;
    actors.iter().for_each(|actor| actor.add(&mut scene, 0.0));
    Still { scene, view, dark: weather == Weather::Dusk, exposure, blurred }
}

impl Actor {
    fn add(&self, scene: &mut Scene, shift: f32) {
        let place = self.place + self.drift * shift;
        let built = figure::add(scene, &self.looks, &self.pose, place, self.heading);
        if let Some(load) = self.load {
            load.add(scene, &built, self.heading);
        }
    }
}

struct Stage {
    scene: Scene,
    view: View,
    /// Places on the ground that are taken, with their radii.
    taken: Vec<(Vec3, f32)>,
    depth: f32,
}

impl Stage {
    /// A free place in sight, between these shares of the working depth.
    fn place(&mut self, radius: f32, near: f32, far: f32, rng: &mut Rng) -> Option<Vec3> {
        for _ in 0..12 {
            let z = self.depth * rng.log_range(near, far);
            let wide = 0.5 * self.view.width as f32 / self.view.scale * z;
            let place = vec3(rng.range(-1.02, 1.02) * wide, 0.0, z);
            if self.is_free(place, radius) {
                self.taken.push((place, radius));
                return Some(place);
            }
        }
        None
    }

    fn is_free(&self, place: Vec3, radius: f32) -> bool {
        place.z > 2.2 && self.taken.iter().all(|(other, wide)| (*other - place).length() > radius + wide)
    }

    fn in_sight(&self, point: Vec3) -> bool {
        let (x, y, depth) = self.view.project(point);
        depth > 1.0 && x > 0.0 && y > 0.0 && x < self.view.width as f32 && y < self.view.height as f32
    }

    fn actor(&mut self, others: &[Actor], rng: &mut Rng) -> Option<Actor> {
        let looks = Looks::random(!rng.chance(BARE), rng);
        let beside = rng.chance(0.35) && !others.is_empty();
        let place = (0..30).find_map(|_| {
            let place = if beside {
                let other = others[rng.below(others.len())].place;
                other + vec3(rng.range(-1.1, 1.1), 0.0, rng.range(-1.6, 1.6))
            } else {
                let z = self.depth * rng.log_range(0.5, 2.6);
                let wide = 0.5 * self.view.width as f32 / self.view.scale * z;
                vec3(rng.range(-1.0, 1.0) * wide, 0.0, z.min(34.0))
            };
            let stands = self.in_sight(place) || rng.chance(0.2);
            let free = stands && self.in_sight(place + UP * 1.6) && self.is_free(place, 0.32);
            free.then_some(place)
        })?;
        self.taken.push((place, 0.28));
        let mut pose = Pose::random(rng);
        let load = rng.chance(0.3).then(|| Load::random(rng));
        if load.is_some_and(Load::takes_both_hands) {
            pose = pose.holding();
        }
        let heading = rng.range(-3.15, 3.15);
        let drift = Frame::upright(place, heading).forward * rng.range(0.0, 0.09);
        Some(Actor { looks, pose, place, heading, load, drift })
    }

    /// Adds the background, the things that lie about and the loose helmets.
    fn dress(&mut self, rng: &mut Rng) {
        site::add_background(&mut self.scene, 0.0, (self.depth * 1.9).clamp(14.0, 42.0), rng);
        if rng.chance(0.3)
            && let Some(place) = self.place(2.4, 1.0, 2.6, rng)
            && place.z > 8.0
        {
            vehicle::add(&mut self.scene, place, rng.range(-3.1, 3.1), rng);
        }
        let mut tops = Vec::new();
        for _ in 0..2 + rng.below(9) {
            let prop = rng.pick(&Prop::SMALL);
            if let Some(place) = self.place(prop.radius(), 0.5, 2.4, rng) {
                tops.extend(prop.add(&mut self.scene, place, rng.range(-3.1, 3.1), rng));
            }
        }
        if rng.chance(0.12)
            && let Some(place) = self.place(Prop::Toilet.radius(), 1.2, 2.6, rng)
        {
            Prop::Toilet.add(&mut self.scene, place, rng.range(-3.1, 3.1), rng);
        }
        for top in tops {
            if rng.chance(0.3) {
                head::lay_helmet(&mut self.scene, top, rng);
            }
        }
        for _ in 0..rng.below(3) {
            if let Some(place) = self.place(0.2, 0.5, 1.5, rng) {
                head::lay_helmet(&mut self.scene, place, rng);
            }
        }
    }
}
