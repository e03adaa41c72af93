//! The sun's shadows (a depth map seen from the sun) and the soft dark spots where things stand.

use crate::camera::View;
use crate::raster::Surface;
use crate::scene::Scene;
use crate::vector::{Vec3, vec3};

/// Side of the sun's depth map, in texels.
const SIDE: usize = 1024;
/// Half of the side of the square that has shadows, in metres.
const REACH: f32 = 26.0;
/// A surface this much behind the sun's depth map still counts as lit, in metres.
const BIAS: f32 = 0.05;
/// Side of the contact map, in cells.
const CELLS: usize = 512;

/// Where sun and sky do not arrive.
#[derive(Debug, Default)]
pub struct Shadows {
    surface: Surface,
    view: Option<View>,
    open: Vec<f32>,
    centre: Vec3,
}

impl Shadows {
    /// Works out the shadows around `centre`, a place on the ground.
    pub fn cast(&mut self, scene: &Scene, centre: Vec3) {
        self.centre = centre;
        self.view = None;
        if scene.light.sun.luminance() > 0.02 {
            let view = View::parallel(centre, -scene.light.to_sun, REACH, SIDE);
            self.surface.draw_depth(scene, &view);
            self.view = Some(view);
        }
        self.open.clear();
        self.open.resize(CELLS * CELLS, 1.0);
        let cell = 2.0 * REACH / CELLS as f32;
        for contact in &scene.contacts {
            let x = (contact.place.x - centre.x + REACH) / cell;
            let y = (contact.place.z - centre.z + REACH) / cell;
            let radius = contact.radius / cell;
            let span = |middle: f32| {
                ((middle - radius).max(0.0) as usize)
                    ..((middle + radius + 1.0).clamp(0.0, CELLS as f32) as usize)
            };
            for row in span(y) {
                for column in span(x) {
                    let (dx, dy) = (column as f32 - x, row as f32 - y);
                    let near = (1.0 - (dx * dx + dy * dy) / (radius * radius)).max(0.0);
                    self.open[row * CELLS + column] *= 1.0 - contact.strength * near * near;
                }
            }
        }
    }

    /// The share of the sun's light (0..=1) that arrives at a point.
    #[inline]
    pub fn sunlight(&self, point: Vec3, normal: Vec3) -> f32 {
        let Some(view) = &self.view else { return 1.0 };
        let (x, y, depth) = view.project(point + normal * 0.02);
        let (x, y) = (x - 0.5, y - 0.5);
        if x < 0.0 || y < 0.0 || x >= (SIDE - 1) as f32 || y >= (SIDE - 1) as f32 {
            return 1.0;
        }
        let (column, row) = (x as usize, y as usize);
        let (fx, fy) = (x - column as f32, y - row as f32);
        let lit = |column: usize, row: usize| {
            f32::from(u8::from(self.surface.depth[row * SIDE + column] > depth - BIAS))
        };
        let upper = lit(column, row) * (1.0 - fx) + lit(column + 1, row) * fx;
        let lower = lit(column, row + 1) * (1.0 - fx) + lit(column + 1, row + 1) * fx;
        upper + (lower - upper) * fy
    }

    /// The share of the sky's light (0..=1) that arrives at a place on the ground.
    #[inline]
    pub fn openness(&self, place: Vec3) -> f32 {
        let local = (place - self.centre + vec3(REACH, 0.0, REACH)) * (CELLS as f32 / (2.0 * REACH));
        let limit = (CELLS - 1) as f32;
        if local.x < 0.0 || local.z < 0.0 || local.x >= limit || local.z >= limit {
            return 1.0;
        }
        let (column, row) = (local.x as usize, local.z as usize);
        let (fx, fy) = (local.x - column as f32, local.z - row as f32);
        let at = |column: usize, row: usize| self.open[row * CELLS + column];
        let upper = at(column, row) * (1.0 - fx) + at(column + 1, row) * fx;
        let lower = at(column, row + 1) * (1.0 - fx) + at(column + 1, row + 1) * fx;
        upper + (lower - upper) * fy
    }
}
