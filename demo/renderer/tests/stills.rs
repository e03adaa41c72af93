//! Random stills: the same seed makes the same picture, and labels match the pixels.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use demo_renderer::dataset::{self, Options, picture};
use demo_renderer::raster::{NOTHING, shape_of};
use demo_renderer::render::Canvas;
use demo_renderer::rng::Rng;
use demo_renderer::scene::Class;
use demo_renderer::stage::random_still;
use demo_renderer::truth::{Coco, labels};

const WIDTH: usize = 320;
const HEIGHT: usize = 180;

fn options(folder: &Path, threads: usize) -> Options {
    Options {
        folder: folder.into(),
        count: 12,
        seed: 3,
        width: WIDTH,
        height: HEIGHT,
        store_width: 184,
        quality: 90,
        threads: NonZeroUsize::new(threads),
    }
}

#[test]
fn a_seed_makes_the_same_picture_and_another_seed_another() {
    let mut canvas = Canvas::default();
    let first = picture(&mut canvas, 5, 2, WIDTH, HEIGHT);
    let other = picture(&mut canvas, 6, 2, WIDTH, HEIGHT);
    // with the buffers used for another picture in between
    let again = picture(&mut canvas, 5, 2, WIDTH, HEIGHT);
    assert_eq!(first, again);
    assert_ne!(first.0, other.0);
}

#[test]
fn labels_hold_exactly_the_visible_pixels() {
    let mut canvas = Canvas::default();
    for number in 0..8 {
        let still = random_still(&mut Rng::new(9, number), WIDTH, HEIGHT);
        canvas.render(&still.scene, &still.view);
        let labels = labels(&still.scene, &still.view, &canvas.surface);
        // every pixel of an object and of its parent, found from scratch
        for (object, class) in still.scene.objects.iter().enumerate().map(|(at, object)| (at, object.class)) {
            let own: Vec<(u32, u32)> = (0..WIDTH * HEIGHT)
                .filter(|&at| {
                    let identity = canvas.surface.identity[at];
                    let owner = (identity != NOTHING)
                        .then(|| still.scene.primitives[shape_of(identity)].object)
                        .flatten();
                    owner == Some(object)
                        || owner.is_some_and(|owner| still.scene.objects[owner].parent == Some(object))
                })
                .map(|at| ((at % WIDTH) as u32, (at / WIDTH) as u32))
                .collect();
            if own.is_empty() {
                continue;
            }
            let xs = own.iter().map(|spot| spot.0);
            let ys = own.iter().map(|spot| spot.1);
            let bounds = [
                xs.clone().min().unwrap(),
                ys.clone().min().unwrap(),
                xs.max().unwrap() + 1,
                ys.max().unwrap() + 1,
            ];
            let found = labels.iter().find(|label| {
                label.class == class && label.bounds == bounds && label.pixels == own.len() as u32
            });
            let label = found.unwrap_or_else(|| panic!("no label for object {object} of still {number}"));
            assert!(label.bounds[2] <= WIDTH as u32 && label.bounds[3] <= HEIGHT as u32);
            assert!(label.visible > 0.0 && label.visible <= 1.0, "{label:?}");
        }
    }
}

#[test]
fn a_dataset_has_all_classes_and_does_not_depend_on_the_threads() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset::make(&options(one.path(), 1)).unwrap();
    dataset::make(&options(two.path(), 2)).unwrap();
    let read = |folder: &Path, name: &str| fs::read(folder.join(name)).unwrap();
    for name in ["000000.jpg", "000011.jpg", "truth.coco.json"] {
        assert_eq!(read(one.path(), name), read(two.path(), name), "{name}");
    }
    let coco: Coco = serde_json::from_slice(&read(one.path(), "truth.coco.json")).unwrap();
    assert_eq!(coco.images.len(), 12);
    assert_eq!((coco.images[0].width, coco.images[0].height), (184, 103));
    let names: Vec<&str> = coco.categories.iter().map(|category| category.name.as_str()).collect();
    assert_eq!(names, ["person", "helmet", "helmet_on", "helmet_off"]);
    for class in Class::ALL {
        assert!(coco.annotations.iter().any(|a| a.category_id == class as u32 + 1), "{class:?}");
    }
    for annotation in &coco.annotations {
        let [x, y, width, height] = annotation.bbox;
        assert!(x >= 0.0 && y >= 0.0 && width > 0.0 && height > 0.0);
        assert!(x + width <= 184.001 && y + height <= 103.001, "{annotation:?}");
        assert!(annotation.area <= width * height + 1.0);
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let error = dataset::make(&options(&file.join("set"), 1)).unwrap_err();
    assert!(format!("{error:#}").contains("file/set"), "{error:#}");
}

#[test]
fn a_failed_dataset_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("set");
    // a folder in the place of the ground truth: it cannot be written
    fs::create_dir_all(folder.join("truth.coco.json")).unwrap();
    assert!(dataset::make(&options(&folder, 2)).is_err());
    assert!(!folder.join("000000.jpg").exists());
}
