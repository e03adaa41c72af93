//! Labels of objects that are hidden, cut by the picture's edge, or too small.

use demo_renderer::camera::View;
use demo_renderer::ground::Ground;
use demo_renderer::light::{Light, Weather};
use demo_renderer::material::{Material, grey};
use demo_renderer::raster::Surface;
use demo_renderer::rng::Rng;
use demo_renderer::scene::{Class, Scene};
use demo_renderer::truth::{Label, labels};
use demo_renderer::vector::{Frame, vec3};
use proptest::prelude::*;

fn bare() -> Scene {
    let mut rng = Rng::new(1, 0);
    Scene::new(Ground::random(&mut rng), Light::random(Weather::Sun, &mut rng))
}

fn ball(scene: &mut Scene, at: [f32; 3], radius: f32) {
    let object = scene.object(Class::Helmet, None);
    let place = Frame::upright(vec3(at[0], at[1], at[2]), 0.0);
    scene.build(place, Some(object)).ellipsoid([0.0; 3], [radius; 3], Material::plain(grey(0.5)));
}

fn wall(scene: &mut Scene, x: f32, z: f32) {
    let place = Frame::upright(vec3(x, 2.0, z), 0.0);
    scene.build(place, None).cuboid([0.0; 3], [2.0, 2.0, 0.1], Material::plain(grey(0.5)));
}

fn see(scene: &Scene) -> Vec<Label> {
    let view = View::pinhole(vec3(0.0, 2.0, 0.0), 0.0, 0.0, 600.0, 640, 360);
    let mut surface = Surface::default();
    surface.draw(scene, &view);
    labels(scene, &view, &surface)
}

#[test]
fn a_ball_in_the_open_is_wholly_visible() {
    let mut scene = bare();
    ball(&mut scene, [0.0, 2.0, 10.0], 0.5);
    let seen = see(&scene);
    assert_eq!(seen.len(), 1);
    assert!(!seen[0].ignored);
    assert!((seen[0].visible - 1.0).abs() < 1e-3);
    // 600 px * 0.5 m / 10 m on each side of the middle
    assert!(seen[0].bounds[0].abs_diff(290) <= 1 && seen[0].bounds[2].abs_diff(350) <= 1, "{seen:?}");
}

#[test]
fn what_is_wholly_hidden_is_left_out() {
    let mut scene = bare();
    ball(&mut scene, [0.0, 2.0, 10.0], 0.5);
    wall(&mut scene, 0.0, 6.0);
    assert!(see(&scene).is_empty());
}

#[test]
fn what_is_half_hidden_has_half_a_box() {
    let mut scene = bare();
    ball(&mut scene, [0.0, 2.0, 10.0], 0.5);
    wall(&mut scene, -2.0, 6.0);
    let seen = see(&scene);
    assert!((seen[0].visible - 0.5).abs() < 0.05, "{seen:?}");
    assert!(seen[0].bounds[0].abs_diff(320) <= 1);
    assert!(!seen[0].ignored);
}

#[test]
fn the_pictures_edge_hides_too() {
    let mut scene = bare();
    ball(&mut scene, [5.75, 2.0, 10.0], 0.5);
    let seen = see(&scene);
    assert!(seen[0].visible < 0.25 && seen[0].ignored, "{seen:?}");
}

#[test]
fn the_far_and_small_is_not_scored() {
    let mut scene = bare();
    ball(&mut scene, [0.0, 2.0, 60.0], 0.15);
    assert!(see(&scene)[0].ignored);
}

#[test]
fn an_object_behind_another_of_its_class_has_its_own_share() {
    let mut scene = bare();
    ball(&mut scene, [0.0, 2.0, 10.0], 0.5);
    ball(&mut scene, [0.0, 2.0, 5.0], 0.15);
    let seen = see(&scene);
    assert_eq!(seen.len(), 2);
    let ring = 1.0 - (0.15_f32 / 5.0).powi(2) / (0.5_f32 / 10.0).powi(2);
    assert!((seen[0].visible - ring).abs() < 0.03, "{seen:?}");
    assert!((seen[1].visible - 1.0).abs() < 1e-3);
}

proptest! {
    #[test]
    fn a_box_lies_within_the_picture_and_within_the_shapes_bounds(
        x in -6.0f32..6.0, y in 0.2f32..4.0, z in 2.0f32..40.0, radius in 0.1f32..1.0,
    ) {
        let mut scene = bare();
        ball(&mut scene, [x, y, z], radius);
        let view = View::pinhole(vec3(0.0, 2.0, 0.0), 0.1, 0.2, 600.0, 640, 360);
        let bounds = scene.primitives[0].shape.bounds(&view);
        let mut surface = Surface::default();
        surface.draw(&scene, &view);
        for label in labels(&scene, &view, &surface) {
            let bounds = bounds.unwrap();
            let [left, top, right, bottom] = label.bounds;
            prop_assert!(left < right && right <= 640 && top < bottom && bottom <= 360);
            prop_assert!(left as f32 >= bounds.x_min - 1.0 && right as f32 <= bounds.x_max + 1.0);
            prop_assert!(top as f32 >= bounds.y_min - 1.0 && bottom as f32 <= bounds.y_max + 1.0);
        }
    }
}
