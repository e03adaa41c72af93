use std::collections::HashMap;

use half::f16;
use proptest::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::*;
use crate::executor::cpu::QuantizedWeights;
use crate::network::Backbone;
use crate::testing::{Tensors, random_model, write_model};
use crate::{Detector, Family, LoadOptions};

type Model = (Tensors, HashMap<String, String>);

fn model(family: Family) -> Model {
    random_model(family, 0.125, &["person", "helmet"], (64, 64), 7)
}

/// What loading says of a file.
fn load_bytes(bytes: &[u8]) -> Result<Detector, LoadError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    std::fs::write(&path, bytes).unwrap();
    Detector::load(&path, &LoadOptions::default())
}

fn bytes((tensors, metadata): &Model) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    write_model(&path, tensors, metadata.clone()).unwrap();
    std::fs::read(path).unwrap()
}

fn message(model: &Model) -> String {
    load_bytes(&bytes(model)).unwrap_err().to_string()
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Detector::load("/nowhere/model.safetensors".as_ref(), &LoadOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("model file /nowhere/model.safetensors: "), "{error}");
    assert!(matches!(error, LoadError::Open { .. }));
}

#[test]
fn a_directory_and_an_empty_file_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    assert!(Detector::load(directory.path(), &LoadOptions::default()).is_err());
    assert!(load_bytes(&[]).is_err());
}

#[test]
fn every_metadata_value_is_checked() {
    let (_, valid) = model(Family::Yolov3Resnet18);
    let optional = ["upsampling", "leaky_slope"];
    for key in valid.keys().filter(|key| !optional.contains(&key.as_str())) {
        let mut missing = valid.clone();
        missing.remove(key);
        let (found, problem) = Metadata::parse(&missing).unwrap_err();
        assert_eq!((found, problem.as_str()), (key.as_str(), "is missing"));
    }
    let names = |count: usize| serde_json::json!((0..count).map(|i| i.to_string()).collect::<Vec<_>>());
    let bad: &[(&str, &str)] = &[
        ("format", "something-else"),
        ("format_version", "2"),
        ("name", ""),
        ("family", "yolov9"),
        ("width", "0"),
        ("width", "NaN"),
        ("width", "-1"),
        ("width", "1e9"),
        ("width", "wide"),
        ("classes", "[]"),
        ("classes", "[1, 2]"),
        ("classes", r#"["person", "person"]"#),
        ("classes", r#"["person", ""]"#),
        ("classes", "person"),
        ("classes", &names(1001).to_string()),
        ("input", "[416]"),
        ("input", "[416, 736, 3]"),
        ("input", "[416, 700]"),
        ("input", "[0, 736]"),
        ("input", "[-32, 736]"),
        ("input", "[4096, 4096]"),
        ("input", "[18446744073709551616, 32]"),
        ("anchors", "[]"),
        ("anchors", "[[[1,2],[3,4],[5,6]],[[1,2],[3,4],[5,6]],[[1,2],[3,4],[5,0]]]"),
        ("anchors", "[[[1,2],[3,4],[5,6]],[[1,2],[3,4],[5,6]],[[1,2],[3,4],[5,1e99]]]"),
        ("score_threshold", "1.1"),
        ("score_threshold", "NaN"),
        ("iou_threshold", "-0.1"),
        ("max_boxes", "0"),
        ("max_boxes", "1000000"),
        ("max_boxes", "-1"),
    ];
    for &(key, value) in bad {
        let mut values = valid.clone();
        values.insert(key.into(), value.into());
        let (found, _) = Metadata::parse(&values).expect_err(value);
        assert_eq!(found, key, "{value}");
    }
    for (key, value) in [
        ("channels", "[8]"),
        ("channels", "8"),
        ("channels", &serde_json::json!(vec![0; 43]).to_string()),
        ("channels", &serde_json::json!(vec![100_000; 43]).to_string()),
        ("upsampling", "bilinear"),
        ("leaky_slope", "-1"),
        ("leaky_slope", "NaN"),
    ] {
        let mut values = valid.clone();
        values.insert(key.into(), value.into());
        let (found, _) = Metadata::parse(&values).expect_err(value);
        assert_eq!(found, key, "{value}");
    }
    let mut long = valid.clone();
    long.insert("family".into(), "x".repeat(1_000_000));
    assert!(Metadata::parse(&long).unwrap_err().1.len() < 1_000_200);
}

#[test]
fn missing_metadata_says_what_to_look_for() {
    let (tensors, _) = model(Family::Yolov3Resnet18);
    let message = message(&(tensors, HashMap::new()));
    assert!(message.ends_with(r#"metadata "format": is missing"#), "{message}");
}

#[test]
fn every_unfit_tensor_is_listed() {
    let mut model = model(Family::Yolov3Darknet53);
    model.0.remove("conv0.weight");
    model.0.remove("stage3.block8.conv2.bn.mean");
    model.0.insert("stage5.down.weight".into(), (vec![3, 2], vec![0.0; 6]));
    let message = message(&model);
    for part in [
        "conv0.weight is missing",
        "stage3.block8.conv2.bn.mean is missing",
        "stage5.down.weight has the shape [3, 2] instead of [128, 64, 3, 3]",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_long_list_is_cut() {
    let model = (Tensors::new(), model(Family::Yolov3Resnet18).1);
    let message = message(&model);
    assert!(message.contains("conv1.weight is missing; ") && message.contains("; and "), "{message}");
    assert!(message.len() < 1000, "{message}");
}

#[test]
fn another_width_is_a_list_of_shapes() {
    let mut model = model(Family::Yolov3Resnet18);
    model.1.insert("width".into(), "0.25".into());
    let message = message(&model);
    assert!(
        message.contains("conv1.weight has the shape [8, 3, 7, 7] instead of [16, 3, 7, 7]"),
        "{message}"
    );
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let mut model = model(Family::Yolov3Resnet18);
    model.0.get_mut("conv4_2.conv1.bn.variance").unwrap().1[3] = -5.0;
    assert!(message(&model).ends_with("the weights of conv4_2.conv1 are not all finite"));
}

#[test]
fn channels_can_be_listed() {
    for backbone in [Backbone::Resnet18, Backbone::Darknet53] {
        let mut model = model(backbone.family());
        let scale = crate::network::Scale::multiplied(backbone, 0.125, 2);
        let channels: Vec<usize> =
            crate::network::convolutions(&scale).iter().map(|spec| spec.geometry.out_channels).collect();
        model.1.remove("width");
        model.1.insert("channels".into(), serde_json::json!(channels).to_string());
        load_bytes(&bytes(&model)).unwrap();
        let mut wide = channels.clone();
        wide[0] += 1;
        model.1.insert("channels".into(), serde_json::json!(wide).to_string());
        let message = message(&model);
        assert!(message.contains(".weight has the shape [8, 3, "), "{message}");
    }
}

#[test]
fn a_written_network_must_fit_its_heads() {
    let (_, valid) = model(Family::Yolov3Darknet);
    for key in ["layers", "heads"] {
        let mut missing = valid.clone();
        missing.remove(key);
        assert_eq!(Metadata::parse(&missing).unwrap_err(), (key, "is missing".into()));
    }
    for (key, from, to, expected) in [
        (
            "heads",
            "\"stride\":16",
            "\"stride\":8",
            "head 0: 4x4 cells with a stride of 8 do not make 64x64 pixels",
        ),
        ("heads", "\"stride\":16", "\"stride\":0", "head 0: 4x4 cells"),
        ("heads", "[[16.0,30.0],", "[", "head 0: 14 channels instead of 7 for 1 anchors and 2 classes"),
        ("heads", "16.0", "-16.0", "head 0: a side of an anchor is not a positive number"),
        ("heads", "\"layer\":", "\"layer\":9", "does not come before it"),
        ("heads", "\"layer\":", "\"layers\":", "unknown field `layers`"),
        ("layers", "\"op\":\"conv\"", "\"op\":\"con\"", "unknown variant `con`"),
    ] {
        let mut values = valid.clone();
        let changed = values[key].replacen(from, to, 1);
        assert_ne!(changed, values[key], "{from}");
        values.insert(key.into(), changed);
        let (_, problem) = Metadata::parse(&values).expect_err(to);
        assert!(problem.contains(expected), "{problem} instead of {expected}");
    }
    let mut none = valid.clone();
    none.insert("heads".into(), "[]".into());
    assert_eq!(Metadata::parse(&none).unwrap_err().1, "0 heads, not 1 to 16");
}

#[test]
fn metadata_is_written_as_it_is_read() {
    for family in Family::ALL {
        let (_, values) = model(family);
        let metadata = Metadata::parse(&values).unwrap();
        assert_eq!(metadata.family, family);
        assert_eq!(metadata.values(), values);
    }
}

#[test]
fn epsilon_slope_and_upsampling_can_be_chosen() {
    let options = LoadOptions { score_threshold: Some(0.0), ..LoadOptions::default() };
    let detect = |model: &Model| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.safetensors");
        write_model(&path, &model.0, model.1.clone()).unwrap();
        let picture = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8 * 3, y as u8 * 3, 99]));
        Detector::load(&path, &options).unwrap().detect(&[picture]).unwrap()
    };
    let model = model(Family::Yolov3Darknet53);
    let expected = detect(&model);
    let mut same = model.clone();
    same.0.insert("conv0.bn.epsilon".into(), (vec![1], vec![1e-3]));
    same.1.insert("leaky_slope".into(), "0.1".into());
    same.1.insert("upsampling".into(), "nearest".into());
    // A transposed convolution that repeats each pixel is what nearest-neighbour upsampling is.
    assert_eq!(detect(&same), expected);
    same.1.insert("upsampling".into(), "transposed".into());
    for stride in [32, 16] {
        let channels = same.0[&format!("head{stride}.lateral.weight")].0[0];
        let mut weight = vec![0.0; 4 * channels * channels];
        for pixel in 0..4 {
            for channel in 0..channels {
                weight[(pixel * channels + channel) * channels + channel] = 1.0;
            }
        }
        let name = format!("head{stride}.upsample");
        same.0.insert(format!("{name}.weight"), (vec![4 * channels, channels, 1, 1], weight));
        same.0.insert(format!("{name}.bias"), (vec![4 * channels], vec![0.0; 4 * channels]));
    }
    assert_eq!(detect(&same), expected);
    for (key, value) in [("leaky_slope", "0.2"), ("upsampling", "transposed")] {
        let mut other = model.clone();
        other.1.insert(key.into(), value.into());
        if key == "upsampling" {
            assert!(message(&other).contains("head32.upsample.weight is missing"));
        } else {
            assert_ne!(detect(&other), expected);
        }
    }
    let mut other = model.clone();
    other.0.insert("conv0.bn.epsilon".into(), (vec![1], vec![0.5]));
    assert_ne!(detect(&other), expected);
}

#[test]
fn other_tensors_do_no_harm() {
    let mut model = model(Family::Yolov3Resnet18);
    model.0.insert("fixture.input".into(), (vec![1], vec![0.0]));
    load_bytes(&bytes(&model)).unwrap();
}

/// The same model with every tensor of another type.
fn retyped((tensors, metadata): &Model, dtype: Dtype, convert: impl Fn(f32) -> Vec<u8>) -> Vec<u8> {
    let converted: Vec<(&String, &Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| (name, shape, values.iter().flat_map(|&v| convert(v)).collect()))
        .collect();
    let views = converted
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(dtype, shape.to_vec(), bytes).unwrap()));
    safetensors::serialize(views, Some(metadata.clone())).unwrap()
}

#[test]
fn f16_reads_as_its_values_and_other_types_are_errors() {
    let mut model = model(Family::Yolov3Resnet18);
    for (_, values) in model.0.values_mut() {
        values.iter_mut().for_each(|value| *value = f16::from_f32(*value).to_f32());
    }
    let picture = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8 * 3, y as u8 * 3, 99]));
    let full = load_bytes(&bytes(&model)).unwrap();
    let half = load_bytes(&retyped(&model, Dtype::F16, |v| f16::from_f32(v).to_le_bytes().to_vec())).unwrap();
    let pictures = [picture];
    assert_eq!(full.detect(&pictures).unwrap(), half.detect(&pictures).unwrap());
    let error =
        load_bytes(&retyped(&model, Dtype::F64, |v| f64::from(v).to_le_bytes().to_vec())).unwrap_err();
    assert!(error.to_string().contains("conv1.weight holds F64 instead of F16, F32"), "{error}");
}

/// Shape, type and bytes of tensors.
type Stored = HashMap<String, (Vec<usize>, Dtype, Vec<u8>)>;

/// A model whose weights are bytes, `change`d before it is written.
fn model_of_bytes(change: impl Fn(&mut Stored)) -> Vec<u8> {
    let (tensors, metadata) = model(Family::Yolov3Resnet18);
    let mut stored = Stored::new();
    for (name, (shape, values)) in tensors {
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        if name.ends_with(".weight") {
            let depth = shape[1..].iter().product();
            let QuantizedWeights { bytes: weights, scales } = QuantizedWeights::of(&values, depth);
            let weights = weights.into_iter().map(|byte| byte as u8).collect();
            stored.insert(format!("{name}.scale"), (vec![scales.len()], Dtype::F32, bytes(&scales)));
            stored.insert(name, (shape, Dtype::I8, weights));
        } else {
            stored.insert(name, (shape, Dtype::F32, bytes(&values)));
        }
    }
    change(&mut stored);
    let views = stored.iter().map(|(name, (shape, dtype, bytes))| {
        (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, Some(metadata)).unwrap()
}

#[test]
fn weights_of_bytes_have_scales() {
    let picture = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8 * 3, y as u8 * 3, 99]));
    let detector = load_bytes(&model_of_bytes(|_| ())).unwrap();
    detector.detect(&[picture]).unwrap();
    let fails = |change: &dyn Fn(&mut Stored), says: &str| {
        let error = load_bytes(&model_of_bytes(change)).err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|error| error.contains(says)), "{error:?}");
    };
    let scale = "conv1.weight.scale";
    fails(&|tensors| drop(tensors.remove(scale)), "conv1.weight.scale is missing");
    fails(
        &|tensors| {
            let channels = tensors[scale].0[0];
            tensors.insert(scale.into(), (vec![1, channels], Dtype::F32, vec![0; 4 * channels]));
        },
        "conv1.weight.scale has the shape",
    );
    fails(
        &|tensors| {
            let scale = &mut tensors.get_mut(scale).unwrap().2;
            scale[..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
        },
        "the weights of conv1 are not all finite",
    );
    fails(
        &|tensors| {
            let channels = tensors["conv1.bn.beta"].0[0];
            tensors.insert("conv1.bn.beta".into(), (vec![channels], Dtype::I8, vec![1; channels]));
        },
        "conv1.bn.beta holds I8",
    );
}

#[test]
fn ranges_are_those_of_the_convolutions() {
    let (tensors, metadata) = model(Family::Yolov3Resnet18);
    let count = tensors.keys().filter(|name| name.ends_with(".weight")).count();
    let with = |ranges: serde_json::Value| {
        let mut metadata = metadata.clone();
        metadata.insert("activation_ranges".into(), ranges.to_string());
        load_bytes(&bytes(&(tensors.clone(), metadata)))
    };
    let ranges = |first: [f64; 2]| {
        let mut ranges = vec![[-0.5, 2.0]; count];
        ranges[0] = first;
        serde_json::json!(ranges)
    };
    with(ranges([0.0, 0.0])).unwrap();
    for (ranges, says) in [
        (serde_json::json!([[0.0, 1.0]]), "1 ranges for"),
        (ranges([1.0, -1.0]), "convolution 0: [1.0, -1.0] has no 255 steps"),
        (ranges([-3e38, 3e38]), "has no 255 steps"),
        (ranges([0.0, 1e-44]), "has no 255 steps"),
        (serde_json::json!([[null, 1.0]]), "activation_ranges"),
    ] {
        let error = with(ranges).err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|error| error.contains(says)), "{error:?}");
    }
}

#[test]
fn a_bias_in_place_of_batch_norm_is_taken() {
    let folded = |mut model: Model| {
        let names: Vec<String> =
            model.0.keys().filter_map(|name| name.strip_suffix(".bn.gamma").map(str::to_owned)).collect();
        for name in names {
            let [gamma, beta, mean, variance] = ["gamma", "beta", "mean", "variance"]
                .map(|part| model.0.remove(&format!("{name}.bn.{part}")).unwrap().1);
            let (shape, weight) = model.0.get_mut(&format!("{name}.weight")).unwrap();
            let depth = weight.len() / shape[0];
            let mut bias = Vec::new();
            for (channel, weight) in weight.chunks_exact_mut(depth).enumerate() {
                let factor = gamma[channel] / (variance[channel] + 1e-3).sqrt();
                weight.iter_mut().for_each(|value| *value *= factor);
                bias.push(beta[channel] - mean[channel] * factor);
            }
            model.0.insert(format!("{name}.bias"), (vec![bias.len()], bias));
        }
        model
    };
    let options = LoadOptions { score_threshold: Some(0.01), ..LoadOptions::default() };
    let detect = |model: &Model| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.safetensors");
        write_model(&path, &model.0, model.1.clone()).unwrap();
        let picture = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8 * 3, y as u8 * 3, 99]));
        Detector::load(&path, &options).unwrap().detect(&[picture]).unwrap()
    };
    let original = model(Family::Yolov3Darknet53);
    let expected = detect(&original);
    assert!(!expected[0].is_empty());
    assert_eq!(detect(&folded(original)), expected);
}

#[test]
fn a_file_cut_short_is_an_error_at_every_length() {
    let whole = bytes(&model(Family::Yolov3Resnet18));
    for length in (0..64).chain((64..whole.len()).step_by(whole.len() / 200)) {
        assert!(load_bytes(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn a_huge_header_length_is_an_error() {
    let mut whole = bytes(&model(Family::Yolov3Resnet18));
    for length in [u64::MAX, u64::MAX / 2, 1 << 40, 100_000_001, whole.len() as u64] {
        whole[..8].copy_from_slice(&length.to_le_bytes());
        assert!(matches!(load_bytes(&whole), Err(LoadError::Form { .. })), "{length}");
    }
}

#[test]
fn a_header_that_lies_about_its_tensors_is_an_error() {
    let whole = bytes(&model(Family::Yolov3Resnet18));
    let header_length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&whole[8..8 + header_length]).unwrap();
    for (from, to) in [
        ("\"shape\":[8,3,7,7]", "\"shape\":[8,3,7,9]"),
        ("\"shape\":[8,3,7,7]", "\"shape\":[18446744073709551615,3,7,7]"),
        ("\"data_offsets\":[0,", "\"data_offsets\":[4,"),
        ("\"data_offsets\":[0,", "\"data_offsets\":[18446744073709551615,"),
        ("\"F32\"", "\"F3\""),
    ] {
        let changed = header.replacen(from, to, 1);
        assert_ne!(changed, header, "{from}");
        let mut file = (changed.len() as u64).to_le_bytes().to_vec();
        file.extend(changed.as_bytes());
        file.extend(&whole[8 + header_length..]);
        assert!(load_bytes(&file).is_err(), "{to}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Loading any damaged file ends in a model or in an error, never in a panic.
    #[test]
    fn damage_never_panics(damage in prop::collection::vec((0..30_000usize, any::<u8>()), 1..20)) {
        let mut file = bytes(&model(Family::Yolov3Resnet18));
        for (position, value) in damage {
            file[position] = value;
        }
        if let Ok(detector) = load_bytes(&file) {
            prop_assert!(detector.detect(&[image::RgbImage::new(8, 8)]).is_ok());
        }
    }
}
