//! Parity with PyTorch: `models/fixtures` holds, for each family, a small random network, an input and the
//! head outputs that PyTorch computed from them.

use std::path::PathBuf;

use candle_core::safetensors::load;
use candle_core::{DType, Device, Tensor};

use super::*;
use crate::Family;
use crate::executor::{Engine, candle, cpu};
use crate::model_file::{ModelFile, load_network};
use crate::precision::Precision;

fn fixture(family: Family) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../models/fixtures")
        .join(format!("{family}.safetensors"))
}

/// Heads that differ by at most this share of their largest value.
fn assert_parity(family: Family, engine: &Engine, batch: usize, share: f32) {
    let path = fixture(family);
    let file = ModelFile::open(&path).unwrap();
    let contents = file.contents().unwrap();
    let network = load_network(&file, &contents, &contents.metadata, engine).unwrap();
    let tensors = load(&path, &Device::Cpu).unwrap();
    let tensor = |name: &str| tensors[&format!("fixture.{name}")].to_dtype(DType::F32).unwrap();
    let input = Tensor::cat(&vec![tensor("input"); batch], 0).unwrap();
    let heads = network.forward(&input).unwrap();
    for (head, stride) in heads.iter().zip([8, 16, 32]) {
        let expected = Tensor::cat(&vec![tensor(&format!("head{stride}")); batch], 0).unwrap();
        assert_eq!(head.dims(), expected.dims(), "{family} stride {stride}");
        let largest = |tensor: &Tensor| tensor.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        let difference = largest(&(head - &expected).unwrap()) / largest(&expected);
        println!("{family} stride {stride}: differs by {difference:.1e} of the largest value");
        assert!(difference <= share, "{family} stride {stride}: {difference}");
    }
}

#[test]
fn the_networks_compute_what_pytorch_computes() {
    for family in [Family::Yolov3Resnet18, Family::Yolov3Darknet53] {
        for batch in 1..=2 {
            assert_parity(family, &Engine::Cpu(cpu::Settings::default()), batch, 1e-4);
        }
        // These networks magnify what rounding loses a thousandfold and more; a half has eleven bits.
        for (precision, share) in [(Precision::F32, 1e-4), (Precision::F16, 5e-2)] {
            assert_parity(family, &Engine::Candle(candle::Settings::on_processor(precision)), 1, share);
        }
    }
}

#[test]
fn full_networks_have_the_published_sizes() {
    let parameters = |backbone| -> usize {
        let scale = Scale::multiplied(backbone, 1.0, 4);
        let of = |spec: &ConvSpec| {
            let vectors = match spec.norm {
                Norm::Batch => 2,
                Norm::Bias => 1,
                Norm::None => 0,
            };
            spec.geometry.out_channels * (spec.geometry.depth() + vectors)
        };
        convolutions(&scale).iter().map(of).sum()
    };
    // Trainable parameters of the TensorFlow graphs with 4 classes.
    assert_eq!(parameters(Backbone::Resnet18), 16_429_841);
    assert_eq!(parameters(Backbone::Darknet53), 61_539_889);
}

#[test]
fn scaled_channels_are_multiples_of_eight() {
    let channels = |width| Channels::Multiplied(width).of(0, 64);
    assert_eq!(channels(1.0), 64);
    assert_eq!(channels(0.25), 16);
    assert_eq!(channels(0.3), 24);
    assert_eq!(channels(0.01), 8);
}
