//! Models that are damaged or compute something else. Those that are sound are tested against ONNX Runtime in
//! `tests/parity/onnx.rs`.

use proptest::prelude::*;

use super::*;
use crate::Detector;
use crate::model_file::protobuf::testing::{self, damage, field, replaced};

const MODELS: [&str; 3] = ["yolov5.onnx", "yolov8.onnx", "yolov8-apart.onnx"];

fn fixture(name: &str) -> Vec<u8> {
    testing::fixture(&format!("onnx/{name}"))
}

/// What loading says of a file.
fn load(bytes: &[u8]) -> Result<Detector, LoadError> {
    testing::load("model.onnx", bytes)
}

fn message(bytes: &[u8]) -> String {
    load(bytes).unwrap_err().to_string()
}

/// A model of a graph with these fields.
fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    [vec![0x08, 8], field(7, &graph.concat())].concat()
}

fn node(op: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let mut message: Vec<u8> = inputs.iter().flat_map(|input| field(1, input.as_bytes())).collect();
    message.extend(field(2, output.as_bytes()));
    message.extend(field(4, op.as_bytes()));
    field(1, &message)
}

/// A value of floats with these dimensions, of which 0 stands for an open one.
fn value(name: &str, dimensions: &[u8]) -> Vec<u8> {
    let sides = dimensions.iter().flat_map(|&side| match side {
        0 => field(1, &field(2, b"open")),
        side => field(1, &[0x08, side]),
    });
    let shape = field(2, &sides.collect::<Vec<u8>>());
    let kind = field(1, &[vec![0x08, 1], shape].concat());
    [field(1, name.as_bytes()), field(2, &kind)].concat()
}

fn input(name: &str, dimensions: &[u8]) -> Vec<u8> {
    field(11, &value(name, dimensions))
}

fn output(name: &str) -> Vec<u8> {
    field(12, &value(name, &[1]))
}

#[test]
fn another_network_is_described() {
    let classifier = [
        node("Flatten", &["images"], "flat"),
        node("Gemm", &["flat", "weights"], "logits"),
        input("images", &[1, 3, 64, 64]),
        output("logits"),
    ];
    assert!(
        message(&model(&classifier)).ends_with(
            "model.onnx holds an ONNX model (2 nodes: 1 Flatten, 1 Gemm) that is not known: the end of the model: \
             found Gemm \"logits\", expected Concat of the boxes of all heads, or of boxes and scores"
        ),
        "{}",
        message(&model(&classifier))
    );
}

#[test]
fn inputs_other_than_one_picture_of_one_size_are_refused() {
    for (inputs, expected) in [
        (vec![], "the input: found 0 inputs, expected one, the picture"),
        (vec![input("a", &[1, 3, 64, 64]), input("b", &[1])], "found 2 inputs"),
        (vec![input("a", &[0, 3, 0, 0])], "found a picture of any size, expected one size; export the model"),
        (vec![input("a", &[1, 64, 64, 3])], "expected [batch, 3, height, width]"),
        (vec![input("a", &[1])], "found the shape [Some(1)]"),
        // The batch may be open.
        (vec![input("a", &[0, 3, 64, 64])], "the output: found none, expected one"),
    ] {
        let message = message(&model(&inputs));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn the_place_where_a_model_departs_is_named() {
    let cases: [(&str, &[u8], &[u8], &str); 8] = [
        ("yolov8.onnx", b"\x22\x07MaxPool", b"\x22\x07AvgPool", "found AvgPool \"/MaxPool"),
        ("yolov8.onnx", b"\x22\x06Resize", b"\x22\x06Resiz3", "found Resiz3 \"/Resize"),
        ("yolov8.onnx", b"\x22\x07Softmax", b"\x22\x07Softmin", "expected Softmax of the steps"),
        ("yolov8.onnx", b"nearest", b"neither", "expected every pixel four times"),
        ("yolov8.onnx", b"asymmetric", b"asymmetr1c", "expected every pixel four times"),
        ("yolov8-apart.onnx", b"\x22\x09LeakyRelu", b"\x22\x09HardySilu", "found HardySilu \"/LeakyRelu"),
        ("yolov5.onnx", b"\x22\x03Pow", b"\x22\x03Exp", "expected Pow with 2"),
        ("yolov5.onnx", b"\x22\x03Add", b"\x22\x03Max", "found "),
    ];
    for (name, from, to, expected) in cases {
        let error = load(&replaced(fixture(name), from, to)).unwrap_err();
        assert!(matches!(error, LoadError::UnknownModel { .. }), "{name}: {error}");
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
}

#[test]
fn loops_and_names_given_twice_are_errors() {
    let picture = || input("images", &[1, 3, 64, 64]);
    for nodes in [
        vec![node("Identity", &["b"], "a"), node("Identity", &["a"], "b"), output("a")],
        vec![node("Concat", &["a", "a"], "a"), output("a")],
        vec![node("Concat", &[], "a"), output("a")],
        vec![node("Conv", &["images"], "a"), node("Concat", &["a", "a"], "b"), output("b")],
        vec![node("Reshape", &["b"], "a"), node("Concat", &["a", "a"], "b"), output("b")],
    ] {
        let error = load(&model(&[vec![picture()], nodes].concat())).unwrap_err();
        assert!(matches!(error, LoadError::UnknownModel { .. }), "{error}");
    }
    let twice = [picture(), node("Relu", &["images"], "a"), node("Relu", &["images"], "a"), output("a")];
    assert!(message(&model(&twice)).contains("two nodes of one name"));
}

#[test]
fn many_nodes_are_refused_early() {
    let nodes: Vec<Vec<u8>> = (0..20_000).map(|index| node("Relu", &[], &index.to_string())).collect();
    assert!(message(&model(&nodes)).contains("more than 16384 nodes"));
}

#[test]
fn a_model_cut_short_is_an_error_at_every_length() {
    for name in MODELS {
        let whole = fixture(name);
        for length in (0..64).chain((64..whole.len()).step_by(whole.len() / 100)) {
            assert!(load(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Loading any damaged file ends in a model or in an error, never in a panic.
    #[test]
    fn damage_never_panics(damage in damage(), name in prop::sample::select(&MODELS[..])) {
        let mut file = fixture(name);
        for (position, value) in damage {
            let position = position.index(file.len());
            file[position] = value;
        }
        if let Ok(detector) = load(&file) {
            prop_assert!(detector.detect(&[image::RgbImage::new(8, 8)]).is_ok());
        }
    }

    /// Nor does what only looks like a model.
    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(load(&model(&[field(1, &noise)])).is_err());
        prop_assert!(load(&model(&[input("images", &[1, 3, 64, 64]), noise])).is_err());
    }
}
