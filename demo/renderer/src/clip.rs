//! The demo clip: raw frames of the three scripted parts, and the ground truth of every frame.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rayon::prelude::*;

use crate::camera::View;
use crate::carry::Load;
use crate::dataset::write_coco;
use crate::figure;
use crate::ground::Ground;
use crate::head;
use crate::light::Light;
use crate::motion::{Moment, Script};
use crate::render::Canvas;
use crate::rng::Rng;
use crate::scene::Scene;
use crate::script::{Carries, PARTS, Part};
use crate::sensor::Sensor;
use crate::site;
use crate::truth::{Coco, Image, Label, labels};
use crate::vector::{rgb, vec3};
use crate::vehicle;
use crate::wardrobe::{Looks, helmet_colour};

/// Streams of the clip's seed: far from those of the stills, which are their numbers.
const STREAM: u64 = 0xC11B_0000_0000;

/// What to make.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file for raw RGB24 frames; `-` for standard output.
    pub frames: PathBuf,
    /// The file for the ground truth.
    pub truth: PathBuf,
    /// The seed of sites and looks.
    pub seed: u64,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Frames a second.
    pub rate: u32,
    /// Threads; all processors if not given.
    pub threads: Option<NonZeroUsize>,
}

/// One part of the clip, ready to be rendered.
#[derive(Clone, Debug)]
pub struct Take {
    part: &'static Part,
    view: View,
    site: Scene,
    cast: Vec<(Looks, Option<Load>, f32)>,
    sensor: Sensor,
}

impl Take {
    /// Sets up a part of the clip.
    pub fn new(part: &'static Part, seed: u64, width: usize, height: usize) -> Take {
        let mut rng = Rng::new(seed, STREAM + part.stream);
        let pitch = ((part.eye - 1.0) / part.depth).atan();
        let focal = part.focal * width as f32;
        let view = View::pinhole(vec3(0.0, part.eye, 0.0), 0.0, pitch, focal, width, height);
        let light = Light::random(part.weather, &mut rng);
        let mut site = Scene::new(Ground::random(&mut rng), light);
        site::add_background(&mut site, 0.0, part.background, &mut rng);
        if let Some([x, z, heading]) = part.vehicle {
            vehicle::add(&mut site, vec3(x, 0.0, z), heading, &mut rng);
        }
        for &(prop, x, z, heading, helmet) in part.props {
            let top = prop.add(&mut site, vec3(x, 0.0, z), heading, &mut rng);
            if let Some(top) = top.filter(|_| helmet) {
                head::lay_helmet(&mut site, top, &mut rng);
            }
        }
        for &[x, z] in part.helmets {
            head::lay_helmet(&mut site, vec3(x, 0.0, z), &mut rng);
        }
        let cast = part.cast.iter().map(|role| {
            let load = load(role.carries, &mut rng);
            (Looks::random(role.helmet, &mut rng), load, rng.unit())
        });
        let cast = cast.collect();
        let sensor = Sensor { noise: part.noise, blur: 0.06, seed: rng.bits(), ..Sensor::clean(1.0) };
        let mut take = Take { part, view, site, cast, sensor };
        // One exposure for the whole part: a camera that hunts would cost bits.
        let mut canvas = Canvas::default();
        canvas.render(&take.scene(0.5 * part.seconds), &take.view);
        take.sensor.exposure = Sensor::meter(&canvas.light, part.exposure);
        take
    }

    /// The scene at a time in seconds from the part's beginning.
    pub fn scene(&self, time: f32) -> Scene {
        let mut scene = self.site.clone();
        for (role, (looks, load, phase)) in self.part.cast.iter().zip(&self.cast) {
            let script = Script { start: role.start, steps: role.steps, phase: *phase };
            let Moment { place, heading, pose } = script.at(time);
            let holds = load.is_some_and(Load::takes_both_hands);
            let pose = if holds { pose.holding() } else { pose };
            let built = figure::add(&mut scene, looks, &pose, place, heading);
            if let Some(load) = load {
                load.add(&mut scene, &built, heading);
            }
        }
        scene
    }

    /// The frame at a time in seconds from the part's beginning, as RGB24, and its labels.
    pub fn frame(&self, canvas: &mut Canvas, time: f32) -> (Vec<u8>, Vec<Label>) {
        let scene = self.scene(time);
        let moments: Vec<Scene> = if self.part.shutter > 0.0 {
            [-0.5, -0.25, 0.25, 0.5]
                .map(|share| self.scene((time + share * self.part.shutter).max(0.0)))
                .into()
        } else {
            Vec::new()
        };
        canvas.render_moving(&scene, &moments, &self.view);
        let labels = labels(&scene, &self.view, &canvas.surface);
        let picture = self.sensor.take(&canvas.light, self.view.width, self.view.height);
        (picture.into_raw(), labels)
    }
}

fn load(carries: Carries, rng: &mut Rng) -> Option<Load> {
    match carries {
        Carries::Nothing => None,
        Carries::Helmet => Some(Load::Helmet(helmet_colour(rng))),
        Carries::Carton => Some(Load::Carton(rgb(176, 136, 90))),
        Carries::Plank => Some(Load::Plank),
        Carries::Bucket => Some(Load::Bucket(helmet_colour(rng))),
        Carries::Tool => Some(Load::Tool),
    }
}

/// The frames of the clip: which part each belongs to and its time within it, in seconds.
pub fn schedule(rate: u32) -> Vec<(usize, f32)> {
    let mut frames = Vec::new();
    for (number, part) in PARTS.iter().enumerate() {
        let count = (part.seconds * rate as f32).round() as usize;
        frames.extend((0..count).map(|frame| (number, frame as f32 / rate as f32)));
    }
    frames
}

/// Renders the clip and writes its frames and its ground truth.
///
/// # Errors
///
/// When the sizes make no picture or a file cannot be written; the incomplete files are removed.
pub fn make(options: &Options) -> anyhow::Result<()> {
    let Options { width, height, rate, .. } = *options;
    let sizes = 64..=8192;
    if !sizes.contains(&width) || !sizes.contains(&height) || !(1..=240).contains(&rate) {
        bail!("no clip of {width}x{height} at {rate} frames/s: sizes lie in 64..=8192, rates in 1..=240");
    }
    if options.frames == Path::new("-") {
        let coco =
            render(options, &mut io::stdout().lock()).context("cannot write frames to standard output")?;
        return write_coco(&options.truth, &coco);
    }
    let name = options.frames.display();
    let file = File::create(&options.frames).with_context(|| format!("cannot create {name}"))?;
    let made = render(options, &mut BufWriter::new(file))
        .with_context(|| format!("cannot write {name}"))
        .and_then(|coco| write_coco(&options.truth, &coco));
    if made.is_err() {
        // The first error tells what went wrong; a file that was never made is no second one.
        for file in [&options.frames, &options.truth] {
            let _missing = std::fs::remove_file(file);
        }
    }
    made
}

fn render(options: &Options, sink: &mut impl Write) -> anyhow::Result<Coco> {
    let Options { width, height, rate, seed, .. } = *options;
    let takes = PARTS.each_ref().map(|part| Take::new(part, seed, width, height));
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads.map_or(0, NonZeroUsize::get))
        .build()
        .context("cannot start the rendering threads")?;
    let mut coco = Coco::new("Rendered construction-site clip: easy, medium and hard part", seed);
    let frames = schedule(rate);
    // Some frames at a time, so that they can be written in order and memory stays small.
    let batch = pool.current_num_threads() * 4;
    for (start, batch) in frames.chunks(batch).enumerate().map(|(number, frames)| (number * batch, frames)) {
        let made: Vec<_> = pool.install(|| {
            batch
                .par_iter()
                .with_min_len(4)
                .map_init(Canvas::default, |canvas, &(part, time)| takes[part].frame(canvas, time))
                .collect()
        });
        for (offset, (bytes, labels)) in made.into_iter().enumerate() {
            sink.write_all(&bytes)?;
            let number = (start + offset) as u64;
            let image = Image {
                id: number,
                file_name: format!("{number:06}"),
                width: width as u32,
                height: height as u32,
                time_us: Some(number * 1_000_000 / u64::from(rate)),
            };
            coco.push(image, &labels, 1.0);
        }
    }
    sink.flush()?;
    Ok(coco)
}
