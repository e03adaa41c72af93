//! Turns a scene into a picture in linear light: visibility, shadows, shading, smooth edges.

use crate::camera::View;
use crate::raster::{FAR, NOTHING, Surface, face_of, identity, shape_of};
use crate::scene::Scene;
use crate::shadow::Shadows;
use crate::vector::{UP, Vec3, vec3};

/// Sub-pixel places for edges: a rotated grid.
const SAMPLES: [(f32, f32); 4] = [(0.375, 0.125), (0.875, 0.375), (0.125, 0.625), (0.625, 0.875)];

/// Buffers of one picture, to be used again for the next.
#[derive(Debug, Default)]
pub struct Canvas {
    /// The visible surface, for the ground truth.
    pub surface: Surface,
    /// The picture, row by row, in linear light.
    pub light: Vec<Vec3>,
    shadows: Shadows,
    /// The surface at other moments of the exposure, and how often each pixel was shaded.
    other: Surface,
    times: Vec<u8>,
}

/// Pixels around people that movement during the exposure can reach.
const SMEAR: f32 = 14.0;

impl Canvas {
    /// Renders the scene.
    pub fn render(&mut self, scene: &Scene, view: &View) {
        self.surface.draw(scene, view);
        // Shadows matter where people are: some way in front of the camera.
        let ahead = vec3(view.forward.x, 0.0, view.forward.z).normalized();
        let ground = vec3(view.origin.x, 0.0, view.origin.z);
        self.shadows.cast(scene, ground + ahead * 19.0);
        self.light.resize(view.width * view.height, Vec3::default());
        let shader = Shader { scene, view, shadows: &self.shadows, pixel: 1.0 / view.scale };
        for row in 0..view.height {
            for column in 0..view.width {
                self.light[row * view.width + column] = shader.pixel(&self.surface, column, row);
            }
        }
    }

    /// Renders the scene with motion blur: the mean with the same scene at other moments of the exposure.
    ///
    /// The surface, and with it the ground truth, remains that of `scene`. Only the surroundings of people are shaded
    /// again; shadows stay where they are.
    pub fn render_moving(&mut self, scene: &Scene, moments: &[Scene], view: &View) {
        self.render(scene, view);
        self.times.clear();
        self.times.resize(self.light.len(), 1);
        for (number, moment) in moments.iter().enumerate() {
            let mut other = std::mem::take(&mut self.other);
            other.draw(moment, view);
            let shader = Shader { scene: moment, view, shadows: &self.shadows, pixel: 1.0 / view.scale };
            let shaded = number as u8 + 2;
            for (cover, object) in self.surface.cover.iter().zip(&scene.objects) {
                let (Some(bounds), None) = (cover.bounds, object.parent) else { continue };
                let clamp = |value: f32, limit: usize| (value.max(0.0) as usize).min(limit);
                for row in clamp(bounds.y_min - SMEAR, view.height)..clamp(bounds.y_max + SMEAR, view.height)
                {
                    for column in
                        clamp(bounds.x_min - SMEAR, view.width)..clamp(bounds.x_max + SMEAR, view.width)
                    {
                        let at = row * view.width + column;
                        if self.times[at] < shaded {
                            self.light[at] += shader.pixel(&other, column, row);
                            self.times[at] = shaded;
                        }
                    }
                }
            }
            self.other = other;
        }
        for (light, &times) in self.light.iter_mut().zip(&self.times) {
            if times > 1 {
                *light = *light * (1.0 / f32::from(times));
            }
        }
    }
}

struct Shader<'a> {
    scene: &'a Scene,
    view: &'a View,
    shadows: &'a Shadows,
    /// Metres that a pixel covers at a depth of one metre.
    pixel: f32,
}

impl Shader<'_> {
    /// The colour of a pixel, with smooth edges.
    #[inline(always)]
    fn pixel(&self, surface: &Surface, column: usize, row: usize) -> Vec3 {
        let at = row * self.view.width + column;
        let identity = surface.identity[at];
        if self.is_edge(surface, column, row, identity) {
            return self.smooth(surface, column, row);
        }
        self.colour(identity, surface.depth[at], self.view.ray(column as f32 + 0.5, row as f32 + 0.5))
    }

    #[inline(always)]
    fn is_edge(&self, surface: &Surface, column: usize, row: usize, own: u32) -> bool {
        let view = self.view;
        let at = row * view.width + column;
        let other = &surface.identity;
        (column > 0 && other[at - 1] != own)
            || (column + 1 < view.width && other[at + 1] != own)
            || (row > 0 && other[at - view.width] != own)
            || (row + 1 < view.height && other[at + view.width] != own)
    }

    /// The mean of four samples, each of which sees only the shapes of the neighbouring pixels.
    fn smooth(&self, surface: &Surface, column: usize, row: usize) -> Vec3 {
        let view = self.view;
        let mut candidates = [usize::MAX; 9];
        let mut count = 0;
        for y in row.saturating_sub(1)..(row + 2).min(view.height) {
            for x in column.saturating_sub(1)..(column + 2).min(view.width) {
                let identity = surface.identity[y * view.width + x];
                if identity != NOTHING && !candidates[..count].contains(&shape_of(identity)) {
                    candidates[count] = shape_of(identity);
                    count += 1;
                }
            }
        }
        let mut starts = [0.0; 9];
        for (start, &number) in starts.iter_mut().zip(&candidates[..count]) {
            *start = self.scene.primitives[number].shape.depth(view);
        }
        let mut sum = Vec3::default();
        for (dx, dy) in SAMPLES {
            let (origin, direction) = view.ray(column as f32 + dx, row as f32 + dy);
            let ground = if direction.y < -1e-6 { (-origin.y / direction.y).min(FAR) } else { FAR };
            let mut seen = (NOTHING, ground);
            for (slot, &number) in candidates[..count].iter().enumerate() {
                if let Some(hit) = self.scene.primitives[number].shape.hit(origin, direction, starts[slot])
                    && hit.depth < seen.1
                {
                    seen = (identity(number, hit.face), hit.depth);
                }
            }
            sum += self.colour(seen.0, seen.1, (origin, direction));
        }
        sum * (1.0 / SAMPLES.len() as f32)
    }

    #[inline]
    fn colour(&self, identity: u32, depth: f32, (origin, direction): (Vec3, Vec3)) -> Vec3 {
        let light = &self.scene.light;
        if identity == NOTHING {
            if depth >= FAR {
                return light.sky_colour(direction);
            }
            return self.ground(origin, direction, depth);
        }
        let primitive = &self.scene.primitives[shape_of(identity)];
        let point = origin + direction * depth;
        let normal = primitive.shape.normal(point, face_of(identity));
        let material = &primitive.material;
        let distance = depth * direction.length();
        let colour = material.colour_at(point, point - primitive.shape.middle(), normal, depth * self.pixel);
        let facing = normal.dot(light.to_sun);
        let shadow = if facing > 0.0 { self.shadows.sunlight(point, normal) } else { 0.0 };
        // Close to the ground, less of the sky is in sight.
        let open = 0.72 + 0.28 * (point.y * 1.4).clamp(0.0, 1.0);
        let mut lit = colour.times(light.on(normal, shadow, open)) + colour * material.glow;
        if material.gloss > 0.0 {
            let eye = direction * (-1.0 / direction.length());
            let half = (eye + light.to_sun).normalized();
            let shine = normal.dot(half).max(0.0).powi(2).powi(2).powi(2).powi(2).powi(2);
            let rim = (1.0 - normal.dot(eye).max(0.0)).powi(3);
            lit += light.sun * (material.gloss * shine * shadow * 1.4)
                + light.sky * (material.gloss * (0.10 + 0.5 * rim) * (0.5 + 0.5 * normal.y));
        }
        light.through_air(lit, distance)
    }

    fn ground(&self, origin: Vec3, direction: Vec3, depth: f32) -> Vec3 {
        let light = &self.scene.light;
        let place = origin + direction * depth;
        let length = direction.length();
        let distance = depth * length;
        let grazing = (-direction.y / length).max(0.02);
        let footprint = depth * self.pixel / grazing.sqrt();
        let (colour, mirror) = self.scene.ground.at(place, footprint);
        let shadow = self.shadows.sunlight(place, UP);
        let open = self.shadows.openness(place);
        let mut lit = colour.times(light.on(UP, shadow, open));
        if mirror > 0.0 {
            let bounced = vec3(direction.x, -direction.y, direction.z);
            let strength = mirror * (0.25 + 0.6 * (1.0 - grazing).powi(3));
            lit = lit.mix(light.sky_colour(bounced) * (0.4 + 0.6 * shadow), strength);
        }
        light.through_air(lit, distance)
    }
}
