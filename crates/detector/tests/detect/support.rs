//! What the tests share.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::Value;

/// The directory of the whole project.
pub(crate) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A small model, of a width of its own and with its own input size.
pub(crate) fn model() -> PathBuf {
    project().join("models/demo-little.safetensors")
}

/// Runs `detect` in `directory`.
pub(crate) fn detect(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_detect")).args(arguments).current_dir(directory).output().unwrap()
}

/// The same with the model, on an input that is quick to go through.
pub(crate) fn with_model(directory: &Path, arguments: &[&str]) -> Output {
    let model = model();
    let model = ["--model", model.to_str().unwrap(), "--input-shape", "64,96", "--threads", "1"];
    detect(directory, &[arguments, &model].concat())
}

/// What a run that ended well wrote.
pub(crate) fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a run that failed said of it.
pub(crate) fn failure(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// JSON that the schema of this name in `docs/schema` describes.
pub(crate) fn checked(json: &str, schema: &str) -> Value {
    let path = project().join(format!("docs/schema/{schema}.schema.json"));
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let value: Value = serde_json::from_str(json).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    if let Err(error) = validator.validate(&value) {
        panic!("{error}\n{value:#}");
    }
    value
}

/// Writes a picture of gradients.
pub(crate) fn write_picture(path: &Path, width: u32, height: u32) {
    let picture = RgbImage::from_fn(width, height, |x, y| Rgb([(x * 2) as u8, (y * 3) as u8, (x ^ y) as u8]));
    let format = ImageFormat::from_path(path).unwrap();
    picture.save_with_format(path, format).unwrap();
}

/// The names in a directory, in order.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
