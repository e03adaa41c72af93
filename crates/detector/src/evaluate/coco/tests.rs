use super::*;

const FILE: &str = r#"{
    "info": {"description": "two pictures"},
    "images": [
        {"id": 7, "file_name": "000123", "width": 1280, "height": 720, "time_us": 4920000},
        {"id": 3, "file_name": "a.jpg", "width": 64, "height": 32}
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 2, "bbox": [10, 20, 30.5, 40], "area": 1220, "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 5, 5], "area": 25, "iscrowd": 1}
    ],
    "categories": [{"id": 2, "name": "helmet", "supercategory": ""}, {"id": 1, "name": "person"}]
}"#;

#[test]
fn pictures_and_their_objects() {
    let dataset = Dataset::from_json(FILE.as_bytes()).unwrap();
    assert_eq!(dataset.classes, ["person", "helmet"]);
    let [first, second] = dataset.images.as_slice() else { panic!("{dataset:?}") };
    assert_eq!((first.id, first.file_name.as_str(), first.time_us), (7, "000123", Some(4_920_000)));
    assert_eq!((first.width, first.height), (1280, 720));
    let bbox = BoundingBox { x_min: 10.0, y_min: 20.0, x_max: 40.5, y_max: 60.0 };
    assert_eq!(first.objects[0], Object { class: "helmet".into(), bbox, crowd: false });
    assert!(first.objects[1].crowd && first.objects[1].class == "person");
    assert!(second.objects.is_empty() && second.time_us.is_none());
}

#[test]
fn what_does_not_hang_together_is_an_error() {
    for (from, to, message) in [
        ("\"id\": 3,", "\"id\": 7,", "ground truth has two images with the id 7"),
        ("\"id\": 2, \"name\"", "\"id\": 1, \"name\"", "ground truth has two categories with the id 1"),
        (
            "\"image_id\": 7, \"category_id\": 1",
            "\"image_id\": 9, \"category_id\": 1",
            "annotation 2 names the image 9, which is not there",
        ),
        ("\"category_id\": 2", "\"category_id\": 5", "annotation 1 names the category 5, which is not there"),
    ] {
        let changed = FILE.replacen(from, to, 1);
        assert_ne!(changed, FILE);
        assert_eq!(Dataset::from_json(changed.as_bytes()).unwrap_err().to_string(), message);
    }
    assert!(matches!(Dataset::from_json(b"{}"), Err(CocoError::Json(_))));
    assert!(matches!(Dataset::from_json(b"[1"), Err(CocoError::Json(_))));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Dataset::read("/nowhere/truth.json".as_ref()).unwrap_err();
    assert!(error.to_string().starts_with("ground truth /nowhere/truth.json: "), "{error}");
}

#[test]
fn detections_beyond_single_precision_are_refused() {
    let dataset = Dataset::from_json(FILE.as_bytes()).unwrap();
    let read = |bbox: &str, score: &str| {
        let list = format!(r#"[{{"image_id": 7, "category_id": 2, "bbox": {bbox}, "score": {score}}}]"#);
        detections_from_json(list.as_bytes(), &dataset).map(|found| found[0].len())
    };
    assert_eq!(read("[1, 1, 9, 9]", "0.5").unwrap(), 1);
    for (bbox, score) in [
        ("[1, 1, 91e38, 9]", "0.5"),
        ("[-1e39, 1, 9, 9]", "0.5"),
        ("[1, 1, 9, 9]", "1e39"),
        ("[1e308, 1, 1e308, 9]", "0"),
    ] {
        let error = read(bbox, score).unwrap_err().to_string();
        assert!(error.contains("must be numbers of single precision"), "{error}");
    }
}
