use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::{checked, detect, failure, model, names, stdout, with_model, write_picture};

#[test]
fn each_picture_is_a_line_of_json() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_picture(&path.join("a.png"), 128, 80);
    write_picture(&path.join("b.jpg"), 90, 120);
    // A score that everything reaches, so that there is something in the list.
    let output = with_model(path, &["image", "a.png", "b.jpg", "--json", "--score-threshold", "0"]);
    let text = stdout(&output);
    let lines: Vec<_> = text.lines().map(|line| checked(line, "detect-image")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["picture"], &lines[0]["width"], &lines[0]["height"]),
        (&"a.png".into(), &128.into(), &80.into())
    );
    assert_eq!((&lines[1]["width"], &lines[1]["height"]), (&90.into(), &120.into()));
    let scores: Vec<f64> = lines[0]["detections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| found["score"].as_f64().unwrap())
        .collect();
    assert!(!scores.is_empty() && scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
}

#[test]
fn a_broken_picture_does_not_keep_the_others_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_picture(&path.join("a.jpg"), 64, 48);
    fs::write(path.join("note.jpg"), "no picture").unwrap();
    let output = with_model(path, &["image", "note.jpg", "nowhere.jpg", "a.jpg", "--json"]);
    let said = failure(&output, 1);
    assert!(said.contains("note.jpg: it is text, not a JPEG, PNG or WebP picture"), "{said}");
    assert!(said.contains("cannot read nowhere.jpg"), "{said}");
    assert!(said.ends_with("2 of 3 pictures failed\n"), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().map(|line| checked(line, "detect-image")).collect();
    assert!(lines[0]["error"].is_string() && lines[1]["error"].is_string());
    assert_eq!(lines[2]["width"], 64);
}

#[test]
fn too_many_pixels_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    write_picture(&directory.path().join("a.png"), 100, 100);
    let said = failure(&with_model(directory.path(), &["image", "a.png", "--max-pixels", "9999"]), 1);
    assert!(said.contains("a.png: it has 100x100 pixels, more than the 9999 allowed"), "{said}");
}

#[test]
fn pictures_are_drawn_under_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_picture(&path.join("a.png"), 64, 48);
    write_picture(&path.join("b.jpg"), 80, 60);
    let text = stdout(&with_model(path, &["image", "a.png", "b.jpg", "--draw", "out/drawn"]));
    assert!(text.contains("a.png  64x48  ") && text.contains("b.jpg  80x60  "), "{text}");
    assert_eq!(names(&path.join("out/drawn")), ["a.jpg", "b.jpg"]);
    assert_eq!(image::open(path.join("out/drawn/b.jpg")).unwrap().into_rgb8().dimensions(), (80, 60));
}

#[test]
fn drawing_replaces_no_picture() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_picture(&path.join("a.jpg"), 64, 48);
    write_picture(&path.join("a.png"), 64, 48);
    let before = fs::read(path.join("a.jpg")).unwrap();
    let said = failure(&with_model(path, &["image", "a.jpg", "--draw", "."]), 1);
    assert!(said.contains("would replace the picture ./a.jpg"), "{said}");
    let said = failure(&with_model(path, &["image", "a.jpg", "a.png", "--draw", "out"]), 1);
    assert!(said.contains("a.jpg and a.png would both be drawn into out/a.jpg"), "{said}");
    assert_eq!(fs::read(path.join("a.jpg")).unwrap(), before);
}

#[test]
fn bad_usage_and_help() {
    let directory = tempfile::tempdir().unwrap();
    failure(&detect(directory.path(), &["image", "a.jpg"]), 2);
    failure(&detect(directory.path(), &["see"]), 2);
    let help = stdout(&detect(directory.path(), &["--help"]));
    assert!(help.contains("Exit codes: 0 done, 1 failed"), "{help}");
    let said = failure(&detect(directory.path(), &["image", "a.jpg", "--model", "nowhere"]), 1);
    assert_eq!(said, "detect: model file nowhere: No such file or directory (os error 2)\n");
}

#[test]
fn an_interrupt_leaves_whole_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_picture(&path.join("a.png"), 640, 480);
    // Links to one picture: more of them than are done before the signal comes.
    let pictures: Vec<String> = (0..2000).map(|index| format!("{index}.png")).collect();
    for picture in &pictures {
        std::os::unix::fs::symlink("a.png", path.join(picture)).unwrap();
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_detect"))
        .arg("image")
        .args(&pictures)
        .args(["--json", "--draw", "out", "--model"])
        .arg(model())
        .current_dir(path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    checked(&lines.next().unwrap().unwrap(), "detect-image");
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let mut written = 1;
    for line in lines {
        checked(&line.unwrap(), "detect-image");
        written += 1;
    }
    let output = child.wait_with_output().unwrap();
    let said = failure(&output, 130);
    assert!(said.contains("interrupted"), "{said}");
    let drawn = names(&path.join("out"));
    assert!(drawn.len() < pictures.len());
    assert_eq!(drawn.len(), written, "{drawn:?}");
    for name in drawn {
        image::open(path.join("out").join(name)).unwrap();
    }
}
