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
    order: Vec<(f32, usize)>,
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
        // Labelled objects first, one after the other as `Counter` needs; then the rest from near to far, so that
        // most of what is hidden is skipped without a search for hits.
        self.order.clear();
        for (number, primitive) in scene.primitives.iter().enumerate() {
            match primitive.object {
                Some(object) => self.draw_object(scene, view, number, object),
                None => self.order.push((primitive.shape.nearest(view), number)),
            }
        }
        self.order.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        for &(nearest, number) in &self.order {
            let shape = &scene.primitives[number].shape;
            let bounds = match shape.bounds(view) {
                Some(bounds) => bounds,
                None if is_in_front(shape, view) => view.full_bounds(),
                None => continue,
            };
            let start = shape.depth(view);
            let (depths, identities) = (&mut self.depth, &mut self.identity);
            scan(view, bounds, |pixel, (origin, direction)| {
                if nearest < depths[pixel]
                    && let Some(hit) = shape.hit(origin, direction, start)
                {
                    keep(depths, identities, pixel, hit, number);
                }
            });
        }
    }

    fn draw_object(&mut self, scene: &Scene, view: &View, number: usize, object: usize) {
        let shape = &scene.primitives[number].shape;
        let parent = scene.objects[object].parent;
        let Some(bounds) = shape.bounds(view) else { return };
        for widened in [Some(object), parent].into_iter().flatten() {
            let cover = &mut self.cover[widened];
            cover.bounds = Some(cover.bounds.map_or(bounds, |other| other.union(bounds)));
        }
        let mut counter = Counter { object, parent, stamp: &mut self.stamp, cover: &mut self.cover };
        let start = shape.depth(view);
        let (depths, identities) = (&mut self.depth, &mut self.identity);
        scan(view, bounds, |pixel, (origin, direction)| {
            if let Some(hit) = shape.hit(origin, direction, start) {
                counter.count(pixel, &scene.objects);
                keep(depths, identities, pixel, hit, number);
            }
        });
    }

    /// Draws depths only, without ground: what the sun sees.
    pub fn draw_depth(&mut self, scene: &Scene, view: &View) {
        self.depth.clear();
        self.depth.resize(view.width * view.height, f32::INFINITY);
        for primitive in scene.primitives.iter().filter(|primitive| casts_shadow(&primitive.shape)) {
            let shape = &primitive.shape;
            if let Some(bounds) = shape.bounds(view) {
                let (depths, start) = (&mut self.depth, shape.depth(view));
                scan(view, bounds, |pixel, (origin, direction)| {
                    if let Some(hit) = shape.hit(origin, direction, start) {
                        depths[pixel] = depths[pixel].min(hit.depth);
                    }
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

/// Calls `visit` with every pixel of the view within the bounds, and its ray.
#[inline(always)]
fn scan(view: &View, bounds: Bounds, mut visit: impl FnMut(usize, (Vec3, Vec3))) {
    let clamp = |value: f32, limit: usize| (value.max(0.0) as usize).min(limit);
    let columns = clamp(bounds.x_min, view.width)..clamp(bounds.x_max + 1.0, view.width);
    let rows = clamp(bounds.y_min, view.height)..clamp(bounds.y_max + 1.0, view.height);
    for row in rows {
        for column in columns.clone() {
            visit(row * view.width + column, view.ray(column as f32 + 0.5, row as f32 + 0.5));
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
