//! Files that are damaged, describe something else or do not belong together. Sound ones are tested against OpenCV in
//! `tests/parity/darknet.rs`.

use std::fs;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::*;
use crate::model_file::ModelFile;
use crate::{Detector, DeviceKind, LoadOptions};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/darknet").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(fixture(name)).unwrap()
}

/// What is said of a configuration beside the weights of yolov3-tiny.
fn message(cfg: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tiny.cfg");
    fs::write(&path, cfg).unwrap();
    fs::copy(fixture("yolov3-tiny.weights"), path.with_extension("weights")).unwrap();
    let read = ModelFile::open(&path).and_then(|file| file.contents().map(drop));
    let error = read.expect_err(cfg).to_string();
    error.replace(&format!("{}/", directory.path().display()), "")
}

#[test]
fn what_is_not_supported_has_a_section_and_a_line() {
    let tiny = text("yolov3-tiny.cfg");
    for (from, to, expected) in [
        (
            "[upsample]",
            "[gru]",
            "line 134: [gru]: not supported; supported are convolutional, shortcut, route",
        ),
        (
            "activation=leaky",
            "activation=mish",
            "line 15: [convolutional]: activation: mish is not supported",
        ),
        ("activation=leaky\n", "", "line 9: [convolutional]: activation: logistic is not supported"),
        ("size=3", "size=2", "line 12: [convolutional]: size: 2 is not supported, only odd ones"),
        ("filters=4", "filters=4\ngroups=2", "line 12: [convolutional]: groups: 2 is not supported, only 1"),
        ("pad=1", "pad=0", "line 14: [convolutional]: pad: a padding of 0 is not supported for a size of 3"),
        ("filters=4", "filters=99999", "line 11: [convolutional]: filters: 99999 is not 1 to 16384"),
        ("filters=4", "filters=x", "line 11: [convolutional]: filters: \"x\" is no number"),
        (
            "size=2\n",
            "size=2\npadding=3\n",
            "line 19: [maxpool]: padding: 3 is not supported for a size of 2, only 1",
        ),
        ("stride=2\n\n[route]", "stride=4\n\n[route]", "[upsample]: stride: 4 is not supported, only 2"),
        ("layers=-4", "layers=-40", "[route]: layers: -40 is no layer before this one, which is layer 17"),
        ("layers=-4", "layers=17", "[route]: layers: 17 is no layer before this one"),
        ("layers=-4", "layers=-1", "[route]: reads a [yolo]"),
        ("layers=-4", "", "[route]: layers is missing"),
        ("mask=3,4,5", "mask=3,4,6", "[yolo]: mask: there is no anchor 6"),
        ("mask=3,4,5", "mask=3,4", "[yolo]: 21 channels instead of 14 for 2 anchors and 2 classes"),
        ("classes=2", "classes=3", "[yolo]: 21 channels instead of 24 for 3 anchors and 3 classes"),
        ("anchors=10,", "anchors=10,14,", "[yolo]: anchors: pairs of width and height are needed"),
        ("random=1", "scale_x_y=1.05", "[yolo]: scale_x_y: 1.05 is not supported, only 1"),
        ("channels=3", "channels=1", "line 7: [net]: channels: 1 is not supported, only 3"),
        ("width=96\n", "", "line 1: [net]: width is missing"),
        ("width=96", "width=100", "metadata \"input\": height 96 and width 100"),
        ("[net]\n", "[net]\n[yolo\n", "line 2: a section's name without `]`"),
        ("thresh=0.4", "thresh=3", "line 121: [yolo]: thresh: 3 is not between 0 and 1"),
    ] {
        let changed = tiny.replacen(from, to, 1);
        assert_ne!(changed, tiny, "{from}");
        let message = message(&changed);
        assert!(message.contains(expected), "{message} instead of {expected}");
    }
    assert_eq!(
        message("[net]\nwidth=32\nheight=32\n"),
        "Darknet configuration tiny.cfg, line 1: the network ends without a [yolo] section"
    );
}

#[test]
fn shortcuts_are_fused_or_refused() {
    let conv = |activation: &str, filters: usize| {
        format!("[convolutional]\nfilters={filters}\nactivation={activation}\nsize=3\npad=1\nstride=1\n")
    };
    let read = |middle: &str| {
        let text = format!("[net]\nwidth=32\nheight=32\n{}{middle}", conv("leaky", 6));
        let text = format!("{text}{}[yolo]\nclasses=1\nanchors=1,2\n", conv("linear", 6));
        let sections = cfg::sections(&text).unwrap();
        network::network(&sections).map(|network| network.graph).map_err(|problem| problem.problem)
    };
    let adds = |graph: &crate::graph::Graph| {
        let residuals = graph.nodes().iter().filter_map(|node| match &node.op {
            crate::graph::Op::Conv { residual: Some((_, when)), .. } => Some(*when),
            _ => None,
        });
        (graph.nodes().len(), residuals.collect::<Vec<_>>())
    };
    use crate::graph::Residual::{AfterActivation, BeforeActivation};
    let leaky = conv("leaky", 6);
    let graph = read(&format!("{leaky}[shortcut]\nfrom=-2\n")).unwrap();
    assert_eq!(adds(&graph), (4, vec![AfterActivation]));
    // Read by another layer too, the convolution is there without the sum as well.
    let graph = read(&format!("{leaky}[shortcut]\nfrom=-2\n[route]\nlayers=1,2\n")).unwrap();
    assert_eq!(adds(&graph), (6, vec![AfterActivation]));
    assert_eq!(graph.convolutions().len(), 3);
    // As in ResNet.
    let linear = conv("linear", 6);
    let graph = read(&format!("{linear}[shortcut]\nfrom=-2\nactivation=leaky\n")).unwrap();
    assert_eq!(adds(&graph), (4, vec![BeforeActivation]));
    assert_eq!(graph.convolutions()[1].activation, crate::graph::Activation::LeakyRelu(0.1));
    for (middle, expected) in [
        (
            format!("{leaky}[shortcut]\nfrom=-2\nactivation=leaky\n"),
            "[shortcut]: activation: is supported after a linear",
        ),
        (
            "[maxpool]\nsize=2\n[shortcut]\nfrom=-2\n".to_owned(),
            "[shortcut]: is supported directly after [convolutional] only",
        ),
        (
            format!("{}[shortcut]\nfrom=-2\n", conv("leaky", 5)),
            "[shortcut]: from: 6 channels cannot be added to 5",
        ),
        (format!("{leaky}[shortcut]\nfrom=-2,-1\n"), "[shortcut]: from: several layers are not supported"),
        (format!("{leaky}[shortcut]\n"), "[shortcut]: from is missing"),
        ("[upsample]\n".repeat(9), "[net]: 9 sections [upsample], more than 8"),
        (
            "[route]\nlayers=-1,-1,-1,-1,-1,-1,-1,-1,-1,-1\n".repeat(6),
            "[route]: layers: 600000 channels together",
        ),
    ] {
        let error = read(&middle).unwrap_err();
        assert!(error.contains(expected), "{error} instead of {expected}");
    }
}

/// A convolution that is there with and without a sum, a linear one with the activation after the sum, several routes:
/// both engines make the same of them.
#[test]
fn unusual_networks_run_on_both_engines() {
    let conv = |activation: &str, filters: usize, stride: usize| {
        format!(
            "[convolutional]\nfilters={filters}\nsize=3\npad=1\nstride={stride}\nactivation={activation}\n"
        )
    };
    let layers = [
        "[net]\nwidth=64\nheight=32\n".to_owned(),
        conv("swish", 6, 2),
        conv("leaky", 6, 1),
        "[shortcut]\nfrom=-2\n".to_owned(),
        conv("linear", 6, 1),
        "[shortcut]\nfrom=1\nactivation=relu\n".to_owned(),
        "[maxpool]\nsize=3\nstride=1\n[route]\nlayers=-1,1,0,-2\n".to_owned(),
        conv("linear", 6, 2),
        "[yolo]\nclasses=1\nanchors=1,2\n".to_owned(),
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("unusual.cfg");
    fs::write(&path, layers.concat()).unwrap();
    let mut random = crate::testing::Random(1);
    let count =
        [(3, 6), (6, 6), (6, 6), (24, 6)].iter().map(|(input, output)| output * (input * 9 + 1)).sum();
    let numbers = (0..count).flat_map(|_| (0.3 * random.next()).to_le_bytes());
    let header = [0u32, 2, 5, 0, 0].into_iter().flat_map(u32::to_le_bytes);
    fs::write(path.with_extension("weights"), header.chain(numbers).collect::<Vec<u8>>()).unwrap();
    let pixels: Vec<f32> = (0..3 * 32 * 64).map(|_| random.next().abs()).collect();
    let picture = Tensor::from_vec(pixels, (1, 3, 32, 64), &Device::Cpu).unwrap();
    let [kernels, candle] = [DeviceKind::Cpu, DeviceKind::CpuThroughCandle].map(|device| {
        let detector = Detector::load(&path, &LoadOptions { device, ..LoadOptions::default() }).unwrap();
        let heads = detector.heads(&picture).unwrap();
        assert_eq!((heads.len(), heads[0].dims()), (1, &[1, 6, 8, 16][..]));
        heads[0].flatten_all().unwrap().to_vec1::<f32>().unwrap()
    });
    assert!(candle.iter().any(|value| value.abs() > 0.1));
    for (a, b) in kernels.iter().zip(&candle) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn weights_that_are_not_the_configurations_are_refused() {
    let changed = text("yolov3-tiny.cfg").replacen("filters=4", "filters=5", 1);
    let message = message(&changed);
    assert!(
        message.starts_with(
            "Darknet weights tiny.weights are not those of tiny.cfg: it holds 35958 numbers, and "
        ),
        "{message}"
    );
}

#[test]
fn the_missing_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    for (name, other) in
        [("yolov3-tiny.cfg", "yolov3-tiny.weights"), ("yolov3-tiny.weights", "yolov3-tiny.cfg")]
    {
        let path = directory.path().join(name);
        fs::copy(fixture(name), &path).unwrap();
        let error = ModelFile::open(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("{other}: No such file")), "{error}");
        fs::write(path.with_file_name(other), "something else").unwrap();
        let error = ModelFile::open(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("{other}: it begins with \"somethin\"")), "{error}");
        fs::remove_file(path.with_file_name(other)).unwrap();
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn classes_are_named_by_the_files_beside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.cfg");
    fs::copy(fixture("yolov3-tiny.cfg"), &path).unwrap();
    fs::copy(fixture("yolov3-tiny.weights"), path.with_extension("weights")).unwrap();
    let classes = || Ok::<_, LoadError>(ModelFile::open(&path)?.contents()?.metadata.classes);
    assert_eq!(classes().unwrap(), ["class0", "class1"]);
    // The only one in the directory, if it fits.
    let coco = directory.path().join("coco.names");
    fs::write(&coco, "person\nhelmet\nhead\n").unwrap();
    assert_eq!(classes().unwrap(), ["class0", "class1"]);
    fs::write(&coco, "person\n helmet \n\n").unwrap();
    assert_eq!(classes().unwrap(), ["person", "helmet"]);
    fs::write(directory.path().join("other.names"), "one\ntwo\n").unwrap();
    assert_eq!(classes().unwrap(), ["class0", "class1"]);
    // The one that the `.data` file names, from wherever.
    fs::write(path.with_extension("data"), "classes = 2\nnames = data/coco.names\n").unwrap();
    assert_eq!(classes().unwrap(), ["person", "helmet"]);
    // Its own.
    fs::write(path.with_extension("names"), "left\nright\n").unwrap();
    assert_eq!(classes().unwrap(), ["left", "right"]);
    fs::write(path.with_extension("names"), "left\n").unwrap();
    let error = classes().unwrap_err().to_string();
    assert!(error.contains("a.names: 1 names for the 2 classes of "), "{error}");
    let options = LoadOptions { classes: Some(vec!["a".into(), "b".into()]), ..LoadOptions::default() };
    fs::remove_file(path.with_extension("names")).unwrap();
    assert_eq!(Detector::load(&path, &options).unwrap().info().classes, ["a", "b"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Reading any damaged configuration ends in a network or in an error, never in a panic.
    #[test]
    fn damage_never_panics(damage in prop::collection::vec((0..1600usize, any::<u8>()), 1..6)) {
        let mut cfg = text("yolov3-tiny.cfg").into_bytes();
        let weights = fs::read(fixture("yolov3-tiny.weights")).unwrap();
        for (position, value) in damage {
            cfg[position] = value;
        }
        let cfg = Source { path: "a.cfg".as_ref(), bytes: &cfg };
        let weights = Source { path: "a.weights".as_ref(), bytes: &weights };
        let _ = read(cfg, weights, |_| Ok(None));
    }
}
