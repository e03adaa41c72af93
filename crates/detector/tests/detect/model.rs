use std::fs;

use crate::support::{checked, detect, failure, model, names, project, stdout, with_model, write_picture};

#[test]
fn a_model_file_is_described() {
    let directory = tempfile::tempdir().unwrap();
    let model = model();
    let model = model.to_str().unwrap();
    let info = checked(&stdout(&detect(directory.path(), &["info", model, "--json"])), "detect-info");
    assert_eq!(info["family"], "yolov3-resnet18");
    assert_eq!((&info["input_height"], &info["input_width"]), (&416.into(), &736.into()));
    assert_eq!(info["classes"], serde_json::json!(["person", "helmet", "helmet_on", "helmet_off"]));
    assert_eq!(info["bytes"], fs::metadata(model).unwrap().len());
    let text = stdout(&detect(directory.path(), &["info", model]));
    assert!(text.contains("classes     person, helmet, helmet_on, helmet_off\n"), "{text}");
    let said = failure(&detect(directory.path(), &["info", "/dev/null"]), 1);
    assert!(said.contains("model file /dev/null"), "{said}");
}

#[test]
fn a_converted_model_finds_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let source = project().join("models/fixtures/yolov3-darknet53.safetensors");
    let source = source.to_str().unwrap();
    let said = stdout(&detect(path, &["convert", source, "same.safetensors"]));
    assert!(said.starts_with("same.safetensors  "), "{said}");
    stdout(&detect(path, &["convert", source, "half.safetensors", "--f16"]));
    assert_eq!(names(path), ["half.safetensors", "same.safetensors"]);
    write_picture(&path.join("a.png"), 64, 64);
    let found = |model: &str| {
        let arguments =
            ["image", "a.png", "--json", "--score-threshold", "0", "--threads", "1", "--model", model];
        checked(&stdout(&detect(path, &arguments)), "detect-image")["detections"].take()
    };
    assert_eq!(found("same.safetensors"), found(source));
    let info = |model: &str| checked(&stdout(&detect(path, &["info", model, "--json"])), "detect-info");
    assert_eq!(info("same.safetensors")["parameters"], info(source)["parameters"]);
    assert_eq!(info("same.safetensors")["weights"], info(source)["weights"]);
    let (half, whole) = (info("half.safetensors"), info("same.safetensors"));
    assert!(half["bytes"].as_u64() <= whole["bytes"].as_u64());
    assert!(half["weights"].as_array().unwrap().contains(&"f16".into()));
}

/// What a model of 8 bits finds is near to what it was made from finds, by default and with the same numbers in single
/// precision; and it says of itself what it is.
#[test]
fn a_model_becomes_one_of_8_bits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let source = project().join("models/fixtures/yolov3-resnet18.safetensors");
    let source = source.to_str().unwrap();
    fs::create_dir(path.join("pictures")).unwrap();
    write_picture(&path.join("pictures/a.png"), 64, 64);
    write_picture(&path.join("pictures/b.png"), 90, 50);
    let convert = ["convert", source, "int8.safetensors", "--int8", "pictures"];
    stdout(&detect(path, &convert));
    let info = checked(&stdout(&detect(path, &["info", "int8.safetensors", "--json"])), "detect-info");
    assert!(info["weights"].as_array().unwrap().contains(&"i8".into()), "{info}");
    let bench = |arguments: &[&str]| {
        let all = [&["bench", "--runs", "1", "--json", "--model", "int8.safetensors"], arguments].concat();
        checked(&stdout(&detect(path, &all)), "detect-bench")["precision"].take()
    };
    assert_eq!(bench(&["--precision", "int8"]), "int8");
    assert_eq!(bench(&["--precision", "f32"]), "f32");
    stdout(&detect(path, &["convert", "int8.safetensors", "same.safetensors"]));
    let said = failure(&detect(path, &["convert", "int8.safetensors", "half.safetensors", "--f16"]), 1);
    assert!(said.contains("in 8 bits already"), "{said}");
    let found = |model: &str, precision: &[&str]| {
        let arguments = ["image", "pictures/a.png", "--json", "--score-threshold", "0", "--model", model];
        let output = stdout(&detect(path, &[&arguments[..], precision].concat()));
        let mut scores: Vec<f64> = checked(&output, "detect-image")["detections"]
            .as_array()
            .unwrap()
            .iter()
            .map(|detection| detection["score"].as_f64().unwrap())
            .collect();
        scores.sort_by(f64::total_cmp);
        scores
    };
    let whole = found(source, &[]);
    assert_eq!(found("same.safetensors", &[]), found("int8.safetensors", &[]));
    for precision in [["--precision", "int8"], ["--precision", "f32"]] {
        let scores = found("int8.safetensors", &precision);
        let best = |scores: &[f64]| scores.last().copied().unwrap();
        assert!((best(&scores) - best(&whole)).abs() < 0.05, "{} {}", best(&scores), best(&whole));
    }
    // What it was made from has no ranges, and a directory without pictures gives none.
    let said = failure(&detect(path, &["bench", "--model", source, "--precision", "int8"]), 1);
    assert!(said.contains("detect convert --int8"), "{said}");
    fs::create_dir(path.join("empty")).unwrap();
    let said = failure(&detect(path, &["convert", source, "other.safetensors", "--int8", "empty"]), 1);
    assert!(said.contains("there are no pictures in empty"), "{said}");
}

/// A graph of TensorFlow's or a network of Darknet's becomes a model file of ours that finds the same: every kind of
/// upsampling, normalisation and number that they may have is carried over.
#[test]
fn what_is_converted_from_another_form_finds_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_picture(&path.join("a.png"), 120, 90);
    for graph in [
        "tensorflow/resnet18-scoped.pb",
        "tensorflow/resnet18-plain.pb",
        "tensorflow/darknet53-resize.pb",
        "tensorflow/darknet53-deconv.pb",
        "darknet/yolov3.cfg",
        "darknet/yolov3-spp.weights",
        "darknet/yolov3-tiny.weights",
    ] {
        let source = project().join("crates/detector/tests/fixtures").join(graph);
        let source = source.to_str().unwrap();
        stdout(&detect(path, &["convert", source, "native.safetensors"]));
        let described = |model: &str| {
            let mut info = checked(&stdout(&detect(path, &["info", model, "--json"])), "detect-info");
            for key in ["file", "bytes"] {
                info.as_object_mut().unwrap().remove(key);
            }
            info
        };
        assert_eq!(described(source), described("native.safetensors"));
        let found = |model: &str| {
            let arguments = ["image", "a.png", "--json", "--threads", "1", "--model", model];
            checked(&stdout(&detect(path, &arguments)), "detect-image")["detections"].clone()
        };
        let detections = found(source);
        assert!(!detections.as_array().unwrap().is_empty(), "{graph} finds nothing");
        assert_eq!(detections, found("native.safetensors"), "{graph}");
    }
}

#[test]
fn a_failed_conversion_leaves_what_was_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::write(path.join("old.safetensors"), "old").unwrap();
    fs::write(path.join("broken"), "{}").unwrap();
    let said = failure(&detect(path, &["convert", "broken", "old.safetensors"]), 1);
    assert!(said.contains("model file broken"), "{said}");
    assert_eq!(fs::read(path.join("old.safetensors")).unwrap(), b"old");
    assert_eq!(names(path), ["broken", "old.safetensors"]);
}

#[test]
fn a_model_is_timed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_picture(&path.join("a.png"), 50, 40);
    let report =
        stdout(&with_model(path, &["bench", "--runs", "4", "--warmup", "0", "--json", "--picture", "a.png"]));
    let report = checked(&report, "detect-bench");
    assert_eq!((&report["runs"], &report["threads"]), (&4.into(), &1.into()));
    assert_eq!((&report["input_height"], &report["input_width"]), (&64.into(), &96.into()));
    assert_eq!((&report["picture_height"], &report["picture_width"]), (&40.into(), &50.into()));
    let times = ["least_ms", "median_ms", "p90_ms", "most_ms"].map(|name| report[name].as_f64().unwrap());
    assert!(times.is_sorted(), "{times:?}");
    let stages = &report["stages"];
    assert!(stages["decoding_ms"].as_f64().is_some_and(|time| time > 0.0), "{stages}");
    let text = stdout(&with_model(path, &["bench", "--runs", "1", "--warmup", "1"]));
    assert!(text.contains("picture   64x96\n") && text.contains(", 1 runs\n"), "{text}");
    assert!(text.contains("of which  scaling") && !text.contains("decoding"), "{text}");
}

#[test]
fn layers_are_timed_beside_what_the_machine_can_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let bench = ["bench", "--runs", "2", "--warmup", "0", "--layers"];
    let report = checked(&stdout(&with_model(path, &[&bench[..], &["--json"]].concat())), "detect-bench");
    let layers = report["layers"]["layers"].as_array().unwrap();
    let sum = |what: &str| layers.iter().map(|layer| layer[what].as_u64().unwrap()).sum::<u64>();
    assert!(sum("flops") > 0);
    // No more than two numbers a product, and as much again for what completes vectors.
    assert!(sum("bytes") > 64 * 96 * 3 * 4 && sum("bytes") < 8 * sum("flops"), "{layers:?}");
    let text = stdout(&with_model(path, &bench));
    assert!(text.contains("of memory\n") && text.contains(" GB/s from memory.\n"), "{text}");
}

#[test]
fn batches_are_compared() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let bench = ["bench", "--runs", "2", "--warmup", "0", "--batch", "3,1"];
    let report = checked(&stdout(&with_model(path, &[&bench[..], &["--json"]].concat())), "detect-bench");
    assert_eq!((&report["batch"], &report["stages"]["decoding_ms"]), (&3.into(), &serde_json::Value::Null));
    let batches = report["batches"].as_array().unwrap();
    assert_eq!(batches.iter().map(|times| times["batch"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(batches[0]["median_ms"], report["median_ms"]);
    let text = stdout(&with_model(path, &bench));
    assert!(text.contains("3 at once ") && text.contains("ms a picture"), "{text}");
}
