use super::*;

/// Every kind of layer, and a convolution that is placed twice.
const LAYERS: &str = r#"[
    {"op":"conv","name":"a","input":0,"channels":8,"kernel":3,"stride":2,"norm":"batch","activation":{"leaky_relu":0.5}},
    {"op":"conv","name":"b","input":1,"channels":8,"kernel":1,"stride":1,"norm":"bias","activation":"identity"},
    {"op":"conv","name":"b","input":1,"channels":8,"kernel":1,"stride":1,"norm":"bias","activation":"identity",
     "residual":[1,"after_activation"]},
    {"op":"max_pool","input":3,"size":2,"stride":2,"before":0},
    {"op":"upsample","input":4},
    {"op":"concat","inputs":[5,2,1]},
    {"op":"conv","name":"c","input":6,"channels":4,"kernel":5,"stride":1,"norm":"none","activation":"silu"},
    {"op":"depth_to_space","input":7}
]"#;

#[test]
fn what_is_written_reads_back() {
    let graph = from_json(LAYERS, [8, 3]).unwrap();
    assert_eq!(graph.convolutions().len(), 3);
    assert_eq!(graph.convolutions()[2].geometry.in_channels, 24);
    assert_eq!(graph.outputs().iter().map(|node| node.index()).collect::<Vec<_>>(), [8, 3]);
    assert_eq!(graph.sizes((32, 64)).unwrap()[8], (32, 64));
    let json = to_json(&graph);
    assert_eq!(json, serde_json::from_str::<serde_json::Value>(LAYERS).unwrap());
    assert_eq!(from_json(&json.to_string(), [8, 3]).unwrap(), graph);
}

#[test]
fn what_cannot_be_is_named() {
    for (from, to, expected) in [
        ("\"input\":0", "\"input\":1", "layer 1: layer 1 does not come before it"),
        ("\"channels\":8", "\"channels\":0", "layer 1: channels 0 is not 1 to 16384"),
        ("\"channels\":8", "\"channels\":6", "layer 3: 6 channels are added to its 8"),
        ("\"kernel\":3", "\"kernel\":4", "layer 1: kernel 4 is even"),
        ("\"stride\":2", "\"stride\":0", "layer 1: stride 0 is not 1 to 63"),
        ("0.5", "1.5", "layer 1: slope 1.5 is not between 0 and 1"),
        ("\"name\":\"c\"", "\"name\":\"a\"", "layer 7: another convolution is named \"a\""),
        ("\"name\":\"a\"", "\"name\":\"\"", "layer 1: length of the name 0 is not 1 to 256"),
        ("[1,\"after", "[3,\"after", "layer 3: layer 3 does not come before it"),
        ("\"before\":0", "\"before\":2", "layer 4: before 2 is not 0 to 1"),
        ("[5,2,1]", "[]", "layer 6: channels together 0 is not 1 to"),
        ("[5,2,1]", "[9]", "layer 6: layer 9 does not come before it"),
        ("\"channels\":4", "\"channels\":6", "layer 8: 6 channels do not make four pixels"),
        ("upsample", "shuffle", "unknown variant `shuffle`"),
        ("\"before\":0", "\"before\":0,\"after\":0", "unknown field `after`"),
    ] {
        let changed = LAYERS.replacen(from, to, 1);
        assert_ne!(changed, LAYERS, "{from}");
        let error = from_json(&changed, [8]).unwrap_err();
        assert!(error.contains(expected), "{error} instead of {expected}");
    }
    assert_eq!(from_json(LAYERS, [9]).unwrap_err(), "output: layer 9 does not come before it");
    assert!(from_json("{}", []).is_err());
}

#[test]
fn sizes_cannot_overflow() {
    let layers: Vec<_> = (0..9).map(|input| format!(r#"{{"op":"upsample","input":{input}}}"#)).collect();
    let error = from_json(&format!("[{}]", layers.join(",")), []).unwrap_err();
    assert_eq!(error, "layer 9: more than 8 doublings of its height and width");
    let layers = vec![r#"{"op":"upsample","input":0}"#; MAX_LAYERS + 1];
    let error = from_json(&format!("[{}]", layers.join(",")), []).unwrap_err();
    assert_eq!(error, "4097 layers, more than 4096");
}
