//! Renders construction-site scenes with exact ground truth: training pictures and the demo clip.
//!
//! A scene is a list of analytic solids. `raster` finds the solid behind each pixel, `render` shades it, `sensor`
//! turns light into a picture, and `truth` reads the labels' boxes off the very same pixels.
//!
//! # Layout
//!
//! - `vector`, `rng`, `noise`: numbers
//! - `camera`, `shape`, `raster`, `shadow`, `render`, `sensor`: from a scene to a picture
//! - `material`, `ground`, `light`, `scene`: what a scene is made of
//! - `wardrobe`, `pose`, `figure`, `head`, `carry`: people
//! - `props`, `vehicle`, `site`: things and background
//! - `stage`, `dataset`: random stills
//! - `motion`, `script`, `clip`: the demo clip
//! - `truth`: labels and COCO files

pub mod camera;
pub mod carry;
pub mod clip;
pub mod dataset;
pub mod figure;
pub mod ground;
pub mod head;
pub mod light;
pub mod material;
pub mod motion;
pub mod noise;
pub mod pose;
pub mod props;
pub mod raster;
pub mod render;
pub mod rng;
pub mod scene;
pub mod script;
pub mod sensor;
pub mod shadow;
pub mod shape;
pub mod site;
pub mod stage;
pub mod truth;
pub mod vector;
pub mod vehicle;
pub mod wardrobe;
