use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{checked, detect, failure, project, stdout, with_model, write_picture};

/// The figures of pycocotools: see `tests/coco/make.py`.
#[test]
fn figures_are_those_of_pycocotools() {
    let set = project().join("crates/detector/tests/coco");
    let arguments = ["evaluate", "--labels", "labels.json", "--detections", "detections.json"];
    let report = stdout(&detect(&set, &[&arguments[..], &["--json"]].concat()));
    let report = checked(&report, "detect-evaluate");
    let golden: Value = serde_json::from_slice(&fs::read(set.join("golden.json")).unwrap()).unwrap();
    let equal = |found: &Value, expected: &Value, what: &str| match (found.as_f64(), expected.as_f64()) {
        // Far closer than the four decimals that are promised.
        (Some(found), Some(expected)) => {
            assert!((found - expected).abs() < 1e-9, "{what}: {found} {expected}")
        }
        (None, None) => {}
        _ => panic!("{what}: {found} {expected}"),
    };
    for name in ["map50", "map50_95"] {
        equal(&report[name], &golden[name], name);
    }
    let classes = report["classes"].as_array().unwrap();
    assert_eq!(classes.len(), golden["classes"].as_object().unwrap().len());
    for class in classes {
        let name = class["class"].as_str().unwrap();
        for figure in ["ap50", "ap50_95"] {
            equal(&class[figure], &golden["classes"][name][figure], name);
        }
    }
    // The same for people, to the four decimals.
    let text = stdout(&detect(&set, &arguments));
    let mean = text.lines().find(|line| line.starts_with("mean ")).unwrap();
    for name in ["map50", "map50_95"] {
        let figure = format!("{:.4}", golden[name].as_f64().unwrap());
        assert!(mean.contains(&figure), "{mean} {figure}");
    }
}

/// Labels of two pictures, one in a directory, with this width of the first.
fn write_labels(directory: &Path, width: u32) {
    let labels = json!({
        "images": [
            {"id": 2, "file_name": "b/2.png", "width": 60, "height": 80},
            {"id": 1, "file_name": "1.jpg", "width": width, "height": 64},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 9, "bbox": [4, 4, 30, 40], "area": 1200, "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 4, "bbox": [40, 4, 30, 40], "area": 1200, "iscrowd": 0},
        ],
        "categories": [{"id": 9, "name": "person"}, {"id": 4, "name": "crane"}],
    });
    fs::write(directory.join("labels.json"), labels.to_string()).unwrap();
}

#[test]
fn a_model_is_judged_on_pictures() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::create_dir_all(path.join("pictures/b")).unwrap();
    write_picture(&path.join("pictures/1.jpg"), 96, 64);
    write_picture(&path.join("pictures/b/2.png"), 60, 80);
    write_labels(path, 96);
    let files = ["--plot", "pr.svg", "--write-detections", "found.json", "--score-threshold", "0"];
    let arguments = [&["evaluate", "--labels", "labels.json", "pictures", "--json"][..], &files].concat();
    let report = checked(&stdout(&with_model(path, &arguments)), "detect-evaluate");
    assert_eq!((&report["images"], &report["objects"]), (&2.into(), &2.into()));
    assert_eq!(report["classes_unknown_to_model"], json!(["crane"]));
    assert_eq!(report["classes_without_labels"], json!(["helmet", "helmet_on", "helmet_off"]));
    // The classes of the labels, in the order of their ids.
    assert_eq!(
        (&report["classes"][0]["class"], &report["classes"][0]["ap50"]),
        (&"crane".into(), &0.0.into())
    );
    let plot = fs::read_to_string(path.join("pr.svg")).unwrap();
    assert!(plot.starts_with("<svg ") && plot.contains(">person "), "{plot}");

    // What was written is judged as what was found.
    let again = ["evaluate", "--labels", "labels.json", "--detections", "found.json", "--json"];
    let again = checked(&stdout(&detect(path, &again)), "detect-evaluate");
    for figure in ["map50", "map50_95"] {
        let (again, report) = (again[figure].as_f64().unwrap(), report[figure].as_f64().unwrap());
        assert!((again - report).abs() < 1e-6, "{again} {report}");
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_labels(path, 95);
    let arguments = ["evaluate", "--labels", "labels.json", "."];
    let said = failure(&with_model(path, &arguments), 1);
    assert!(said.contains("2 of the 2 images in the labels are not in .: the first is \"1.jpg\""), "{said}");
    fs::create_dir(path.join("b")).unwrap();
    write_picture(&path.join("1.jpg"), 96, 64);
    write_picture(&path.join("b/2.png"), 60, 80);
    let said = failure(&with_model(path, &arguments), 1);
    assert!(said.contains("./1.jpg has 96x64 pixels upright, and 95x64 in the labels"), "{said}");

    for (detections, expected) in [
        ("{}", "detections found.json: detections are not in COCO's form"),
        (
            r#"[{"image_id": 7, "category_id": 9, "bbox": [0, 0, 1, 1], "score": 0.5}]"#,
            "detection 0 (from 0): image 7 is not in the ground truth",
        ),
        (
            r#"[{"image_id": 1, "category_id": 8, "bbox": [0, 0, 1, 1], "score": 0.5}]"#,
            "detection 0 (from 0): category 8 is not in the ground truth",
        ),
    ] {
        fs::write(path.join("found.json"), detections).unwrap();
        let said =
            failure(&detect(path, &["evaluate", "--labels", "labels.json", "--detections", "found.json"]), 1);
        assert!(said.contains(expected), "{said}");
    }
}
