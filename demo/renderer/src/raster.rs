//! Draws shapes into a depth buffer and a buffer that tells which shape each pixel shows.

use crate::camera::{Bounds, View};
use crate::scene::{Object, Scene};
use crate::shape::{Hit, Shape};
use crate::vector::Vec3;

/// The identity of pixels without a shape: ground or sky.
pub const NOTHING: u32 = u32::MAX;

/// Bits of an identity that name the face; the others are the shape's number.
const FACE_BITS: u32 = 3;

/// Ground further away than this, in metres of depth, is the sky's.
pub const FAR: f32 = 2000.0;

/// The number of the shape of an identity.
#[inline(always)]
pub fn shape_of(identity: u32) -> usize {
    (identity >> FACE_BITS) as usize
}

/// The face of an identity.
#[inline(always)]
pub fn face_of(identity: u32) -> u32 {
    identity & ((1 << FACE_BITS) - 1)
}

/// The identity of one face of one shape.
#[inline(always)]
pub fn identity(shape: usize, face: u32) -> u32 {
    (shape as u32) << FACE_BITS | face
}

/// What one labelled object would cover if nothing stood in front of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cover {
    /// Pixels within the picture.
    pub pixels: u32,
    /// Its bounds, which may reach beyond the picture.
    pub bounds: Option<Bounds>,
}

/// The visible surface of a scene from one view.
#[derive(Debug, Default)]
pub struct Surface {
    /// Depth of each pixel, in metres.
    pub depth: Vec<f32>,
    /// Identity of each pixel.
    pub identity: Vec<u32>,
    /// Cover of each labelled object.
    pub cover: Vec<Cover>,
    stamp: Vec<u32>,
}

impl Surface {
    /// Draws the scene, with the ground at height zero, and measures what each labelled object covers.
    pub fn draw(&mut self, scene: &Scene, view: &View) {
        let pixels = view.width * view.height;
        self.depth.resize(pixels, 0.0);
        self.identity.clear();
        self.identity.resize(pixels, NOTHING);
        self.stamp.clear();
        self.stamp.resize(pixels, 0);
        self.cover.clear();
        self.cover.resize(scene.objects.len(), Cover::default());
        for row in 0..view.height {
            // Without roll, the ground's depth is the same along a row.
            let (origin, direction) = view.ray(0.0, row as f32 + 0.5);
            let depth = if direction.y < -1e-6 { (-origin.y / direction.y).min(FAR) } else { FAR };
            self.depth[row * view.width..(row + 1) * view.width].fill(depth);
        }
        for (number, primitive) in scene.primitives.iter().enumerate() {
            let bounds = match primitive.shape.bounds(view) {
                Some(bounds) => bounds,
                None if primitive.object.is_none() && is_in_front(&primitive.shape, view) => {
                    view.full_bounds()
                }
                None => continue,
            };
            if let Some(object) = primitive.object {
                let mut widen = |object: usize| {
                    let cover = &mut self.cover[object];
                    cover.bounds = Some(cover.bounds.map_or(bounds, |other| other.union(bounds)));
                };
                widen(object);
                if let Some(parent) = scene.objects[object].parent {
                    widen(parent);
                }
                let mut counter = Counter {
                    object,
                    parent: scene.objects[object].parent,
                    stamp: &mut self.stamp,
                    cover: &mut self.cover,
                };
                let (depths, identities) = (&mut self.depth, &mut self.identity);
                scan(&primitive.shape, view, bounds, |pixel, hit| {
                    counter.count(pixel, &scene.objects);
                    keep(depths, identities, pixel, hit, number);
                });
            } else {
                let (depths, identities) = (&mut self.depth, &mut self.identity);
                scan(&primitive.shape, view, bounds, |pixel, hit| {
                    keep(depths, identities, pixel, hit, number);
                });
            }
        }
    }

    /// Draws depths only, without ground: what the sun sees.
    pub fn draw_depth(&mut self, scene: &Scene, view: &View) {
        self.depth.clear();
        self.depth.resize(view.width * view.height, f32::INFINITY);
        for primitive in scene.primitives.iter().filter(|primitive| casts_shadow(&primitive.shape)) {
            if let Some(bounds) = primitive.shape.bounds(view) {
                let depths = &mut self.depth;
                scan(&primitive.shape, view, bounds, |pixel, hit| {
                    depths[pixel] = depths[pixel].min(hit.depth);
                });
            }
        }
    }
}

#[inline(always)]
fn keep(depths: &mut [f32], identities: &mut [u32], pixel: usize, hit: Hit, number: usize) {
    if hit.depth < depths[pixel] && hit.depth > crate::camera::NEAR {
        depths[pixel] = hit.depth;
        identities[pixel] = identity(number, hit.face);
    }
}

/// Counts each pixel of an object once, for itself and for its parent.
///
/// A pixel's stamp is the last object counted there, plus one. A child's stamp means that its parent was counted
/// too; objects and their children are drawn one after the other.
struct Counter<'a> {
    object: usize,
    parent: Option<usize>,
    stamp: &'a mut [u32],
    cover: &'a mut [Cover],
}

impl Counter<'_> {
    #[inline(always)]
    fn count(&mut self, pixel: usize, objects: &[Object]) {
        let own = self.object as u32 + 1;
        let old = self.stamp[pixel];
        if old == own {
            return;
        }
        let last = (old > 0).then(|| old as usize - 1);
        if self.parent.is_none() && last.is_some_and(|last| objects[last].parent == Some(self.object)) {
            return;
        }
        self.cover[self.object].pixels += 1;
        if let Some(parent) = self.parent
            && last != Some(parent)
        {
            self.cover[parent].pixels += 1;
        }
        self.stamp[pixel] = own;
    }
}

/// Calls `visit` with every pixel of the view whose ray meets the shape.
#[inline(always)]
fn scan(shape: &Shape, view: &View, bounds: Bounds, mut visit: impl FnMut(usize, Hit)) {
    let clamp = |value: f32, limit: usize| (value.max(0.0) as usize).min(limit);
    let columns = clamp(bounds.x_min.floor(), view.width)..clamp(bounds.x_max.ceil(), view.width);
    let rows = clamp(bounds.y_min.floor(), view.height)..clamp(bounds.y_max.ceil(), view.height);
    let start = shape.depth(view);
    for row in rows {
        for column in columns.clone() {
            let (origin, direction) = view.ray(column as f32 + 0.5, row as f32 + 0.5);
            if let Some(hit) = shape.hit(origin, direction, start) {
                visit(row * view.width + column, hit);
            }
        }
    }
}

/// Buildings cast none: one in front of a low sun would darken the whole site.
fn casts_shadow(shape: &Shape) -> bool {
    !matches!(shape, Shape::Cuboid { half, .. } if half.y > 1.8)
}

fn is_in_front(shape: &Shape, view: &View) -> bool {
    match shape {
        Shape::Cuboid { frame, half } => (0..8).any(|corner| {
            let sign = |bit: u32| if corner >> bit & 1 == 0 { -1.0 } else { 1.0 };
            let point: Vec3 = frame.at(half.x * sign(0), half.y * sign(1), half.z * sign(2));
            view.project(point).2 > crate::camera::NEAR
        }),
        _ => false,
    }
}
