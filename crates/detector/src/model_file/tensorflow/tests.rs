//! Graphs that are damaged or compute something else. Those that are sound are tested against TensorFlow in
//! `tests/parity/tensorflow.rs`.

use proptest::prelude::*;

use super::*;
use crate::Detector;
use crate::model_file::protobuf::testing::{self, damage, field, replaced};

fn fixture(name: &str) -> Vec<u8> {
    testing::fixture(&format!("tensorflow/{name}"))
}

/// What loading says of a file.
fn load(bytes: &[u8]) -> Result<Detector, LoadError> {
    testing::load("model.pb", bytes)
}

fn message(bytes: &[u8]) -> String {
    load(bytes).unwrap_err().to_string()
}

fn node(name: &str, op: &str, inputs: &[&str]) -> Vec<u8> {
    let mut message = field(1, name.as_bytes());
    message.extend(field(2, op.as_bytes()));
    for input in inputs {
        message.extend(field(3, input.as_bytes()));
    }
    field(1, &message)
}

#[test]
fn another_network_is_described() {
    let graph =
        [node("images", "Placeholder", &[]), node("logits", "MatMul", &["images", "images"])].concat();
    let message = message(&graph);
    assert!(
        message.contains("model.pb holds a TensorFlow graph (2 nodes: 1 MatMul, 1 Placeholder)"),
        "{message}"
    );
    assert!(
        message.ends_with(
            "departs from yolov3-darknet53: the outputs: found 0 convolutions with a bias that are reshaped to \
             boxes, expected 3, of stride 8, 16 and 32"
        ),
        "{message}"
    );
}

#[test]
fn the_place_where_a_graph_departs_is_named() {
    let cases: [(&str, &[u8], &[u8], &str); 4] = [
        (
            "resnet18-scoped.pb",
            b"conv4_2/relu_1\x12\x04Relu",
            b"conv4_2/relu_1\x12\x04Tanh",
            "conv4_2.conv1: found Tanh \"conv4_2/relu_1\", expected Relu",
        ),
        (
            "resnet18-scoped.pb",
            b"\x12\x07MaxPool",
            b"\x12\x07AvgPool",
            "departs from yolov3-darknet53: head32.conv6: found Relu",
        ),
        (
            "darknet53-resize.pb",
            b"\x12\x15ResizeNearestNeighbor",
            b"\x12\x15ResizeNearestBilinear",
            "expected ResizeNearestNeighbor or Conv2DBackpropInput",
        ),
        ("darknet53-resize.pb", b"\x12\x09LeakyRelu", b"\x12\x09HardySilu", "found HardySilu"),
    ];
    for (name, from, to, expected) in cases {
        let message = message(&replaced(fixture(name), from, to));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_graph_cut_short_is_an_error_at_every_length() {
    let whole = fixture("resnet18-plain.pb");
    for length in (0..64).chain((64..whole.len()).step_by(whole.len() / 100)) {
        assert!(load(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn files_of_other_forms_are_described() {
    for (bytes, expected) in [
        (&b""[..], "it is empty"),
        (b"PK\x03\x04 and so on", "it begins with the bytes 50 4b 03 04 20 61 6e 64"),
        (b"[yolo]\nmask=1\n", "it begins with the bytes 5b 79 6f 6c 6f 5d 0a 6d"),
        (b"node { name: \"a\" }", "it begins with \"node { n\""),
    ] {
        let message = message(bytes);
        assert!(message.contains(expected), "{message}");
        assert!(message.ends_with("and Darknet's configuration and weights"), "{message}");
    }
}

#[test]
fn loops_and_missing_nodes_are_errors() {
    let reshaped = node("boxes", "Reshape", &["a"]);
    for nodes in [
        vec![node("a", "Identity", &["b"]), node("b", "Identity", &["a"]), reshaped.clone()],
        vec![reshaped.clone()],
        vec![node("a", "BiasAdd", &["a", "a"]), reshaped.clone()],
        vec![node("a", "Conv2D", &["a"]), node("c", "BiasAdd", &["a"]), node("d", "Reshape", &["c"])],
    ] {
        assert!(matches!(load(&nodes.concat()), Err(LoadError::UnknownGraph { .. })));
    }
    let twice = [reshaped.clone(), reshaped].concat();
    assert!(message(&twice).ends_with("two nodes of one name; fetch or export it again"));
}

#[test]
fn many_nodes_are_refused_early() {
    let nodes: Vec<u8> = (0..70_000).flat_map(|index| node(&index.to_string(), "NoOp", &[])).collect();
    assert!(message(&nodes).contains("more than 65536 nodes"));
}

/// A graph of one constant, `tensor` being a `TensorProto`, that a node `use` takes.
fn constant_of(tensor: &[u8]) -> Result<Vec<f64>, Departure> {
    let entry = [field(1, b"value"), field(2, &field(8, tensor))].concat();
    let mut constant = field(1, b"a");
    constant.extend(field(2, b"Const"));
    constant.extend(field(5, &entry));
    let graph = [field(1, &constant), node("use", "Relu", &["a"])].concat();
    let graph = Graph::parse(&graph).unwrap();
    let constant = constant::constant(&graph, 1, 0, "here")?;
    Ok(constant.numbers(100).unwrap())
}

/// A `TensorShapeProto` of one dimension.
fn vector(length: u8) -> Vec<u8> {
    field(2, &field(2, &[0x08, length]))
}

#[test]
fn constants_are_read_in_every_form_that_writers_use() {
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let tensor =
        |dtype: u8, length: u8, values: Vec<u8>| [vec![0x08, dtype], vector(length), values].concat();
    for (message, expected) in [
        // In full, as bytes and as numbers.
        (tensor(1, 2, field(4, &floats(&[1.5, -2.0]))), &[1.5, -2.0][..]),
        (tensor(1, 2, field(5, &floats(&[1.5, -2.0]))), &[1.5, -2.0]),
        (tensor(3, 3, field(7, &[1, 0x80, 0x01, 3])), &[1.0, 128.0, 3.0]),
        (tensor(9, 1, field(10, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])), &[-1.0]),
        (tensor(19, 2, field(13, &[0x80, 0x78, 0x80, 0x80, 0x03])), &[1.0, -2.0]),
        // The last value stands for the rest; without any, it is zero.
        (tensor(1, 3, field(5, &floats(&[1.5, 2.5]))), &[1.5, 2.5, 2.5]),
        (tensor(1, 2, [&[0x2d][..], &floats(&[0.5])].concat()), &[0.5, 0.5]),
        (tensor(19, 3, field(13, &[0x80, 0x78])), &[1.0, 1.0, 1.0]),
        (tensor(3, 2, Vec::new()), &[0.0, 0.0]),
    ] {
        assert_eq!(constant_of(&message).unwrap(), expected, "{message:x?}");
    }
    for (message, found) in [
        (tensor(1, 3, field(4, &floats(&[1.5, -2.0]))), "with 8 bytes for 3 values of 4 bytes"),
        (tensor(1, 1, field(5, &[0; 7])), "with more numbers than its 1 values"),
        (tensor(7, 1, Vec::new()), "of the type 7, which is none of float, double, half, int32, int64"),
        (
            [vec![0x08, 1], field(2, &field(2, &[0x08, 0xff, 0xff, 0xff, 0xff, 0x7f]))].concat(),
            "with fewer numbers",
        ),
    ] {
        let departure = constant_of(&message).unwrap_err();
        assert!(
            departure.found.starts_with("Const \"a\": ") && departure.found.contains(found),
            "{departure:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Loading any damaged file ends in a model or in an error, never in a panic.
    #[test]
    fn damage_never_panics(damage in damage(), darknet in any::<bool>()) {
        let name = if darknet { "darknet53-deconv.pb" } else { "resnet18-plain.pb" };
        let mut file = fixture(name);
        for (position, value) in damage {
            let position = position.index(file.len());
            file[position] = value;
        }
        if let Ok(detector) = load(&file) {
            prop_assert!(detector.detect(&[image::RgbImage::new(8, 8)]).is_ok());
        }
    }

    /// Nor does what only looks like a graph.
    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(load(&field(1, &field(1, &noise))).is_err());
        prop_assert!(load(&[node("a", "Const", &[]), noise].concat()).is_err());
    }
}
