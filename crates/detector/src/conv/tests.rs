use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::*;

/// A convolution and its input.
#[derive(Debug, Clone)]
struct Case {
    geometry: Geometry,
    activation: Activation,
    residual: Option<Residual>,
    batch: usize,
    height: usize,
    width: usize,
    threads: usize,
    seed: u32,
}

fn cases() -> impl Strategy<Value = Case> {
    let geometry = (1..20usize, 1..20usize, prop::sample::select(vec![1, 3, 7]), 1..=2usize);
    let activation =
        prop::sample::select(vec![Activation::Identity, Activation::Relu, Activation::LeakyRelu(0.1)]);
    let residual =
        prop::sample::select(vec![None, Some(Residual::BeforeActivation), Some(Residual::AfterActivation)]);
    (geometry, activation, residual, 1..=3usize, 1..40usize, 1..40usize, 1..=3usize, any::<u32>()).prop_map(
        |(
            (in_channels, out_channels, kernel, stride),
            activation,
            residual,
            batch,
            height,
            width,
            threads,
            seed,
        )| {
            let geometry = Geometry { in_channels, out_channels, kernel, stride };
            Case { geometry, activation, residual, batch, height, width, threads, seed }
        },
    )
}

/// Values in `-1..1`, different for each seed.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / (u32::MAX / 2) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The definition: every output is a sum over the kernel, in `f64`.
fn naive(case: &Case, input: &[f32], weight: &[f32], bias: &[f32], residual: &[f32]) -> Vec<f64> {
    let Case { geometry: Geometry { in_channels, out_channels, kernel, stride }, height, width, .. } = *case;
    let (out_height, out_width) = (height.div_ceil(stride), width.div_ceil(stride));
    let before = (kernel - 1) / 2;
    let mut output = Vec::new();
    for (index, &residual) in residual.iter().enumerate() {
        let (rest, x) = (index / out_width, index % out_width);
        let (rest, y) = (rest / out_height, rest % out_height);
        let (picture, channel) = (rest / out_channels, rest % out_channels);
        let mut sum = f64::from(bias[channel]);
        for (c, ky, kx) in (0..in_channels)
            .flat_map(|c| (0..kernel).flat_map(move |ky| (0..kernel).map(move |kx| (c, ky, kx))))
        {
            let (row, column) = (y * stride + ky, x * stride + kx);
            if row < before || column < before || row - before >= height || column - before >= width {
                continue;
            }
            let at = ((picture * in_channels + c) * height + row - before) * width + column - before;
            let tap = ((channel * in_channels + c) * kernel + ky) * kernel + kx;
            sum += f64::from(input[at]) * f64::from(weight[tap]);
        }
        let activate = |value: f64| match case.activation {
            Activation::Identity => value,
            Activation::Relu => value.max(0.0),
            Activation::LeakyRelu(slope) => value.max(f64::from(slope) * value),
        };
        output.push(match case.residual {
            None => activate(sum),
            Some(Residual::BeforeActivation) => activate(sum + f64::from(residual)),
            Some(Residual::AfterActivation) => activate(sum) + f64::from(residual),
        });
    }
    output
}

/// The layer's output on one engine, and the definition's.
fn both(case: &Case, engine: &Engine) -> (Vec<f32>, Vec<f64>) {
    let Case { geometry, batch, height, width, .. } = *case;
    let shape = (batch, geometry.in_channels, height, width);
    let out_shape =
        (batch, geometry.out_channels, height.div_ceil(geometry.stride), width.div_ceil(geometry.stride));
    let input = values(batch * geometry.in_channels * height * width, case.seed);
    let weight = values(geometry.out_channels * geometry.depth(), case.seed ^ 0x1111);
    let bias = values(geometry.out_channels, case.seed ^ 0x2222);
    let residual = values(out_shape.0 * out_shape.1 * out_shape.2 * out_shape.3, case.seed ^ 0x3333);
    let expected = naive(case, &input, &weight, &bias, &residual);
    let conv = Conv2d::new(engine, geometry, case.activation, weight, bias).unwrap();
    let input = Tensor::from_vec(input, shape, &Device::Cpu).unwrap();
    let output = match case.residual {
        None => conv.forward(&input).unwrap(),
        Some(when) => {
            let residual = Tensor::from_vec(residual, out_shape, &Device::Cpu).unwrap();
            conv.forward_residual(&input, &residual, when).unwrap()
        }
    };
    assert_eq!(output.dims4().unwrap(), out_shape);
    (output.flatten_all().unwrap().to_vec1().unwrap(), expected)
}

fn assert_equal(case: &Case, engine: &Engine) {
    let (output, expected) = both(case, engine);
    assert_eq!(output.len(), expected.len());
    // Each of the sums has `depth` terms of at most 1.
    let tolerance = 1e-6 * (case.geometry.depth() as f64 + 2.0);
    for (index, (output, expected)) in output.iter().zip(&expected).enumerate() {
        assert!((f64::from(*output) - expected).abs() <= tolerance, "{index}: {output} {expected} {case:?}");
    }
}

fn tiled(threads: usize) -> Engine {
    Engine::tiled(NonZeroUsize::new(threads)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn tiled_convolution_is_the_definition(case in cases()) {
        assert_equal(&case, &tiled(case.threads));
    }

    #[test]
    fn candle_convolution_is_the_definition(case in cases()) {
        assert_equal(&case, &Engine::Candle(Device::Cpu));
    }
}

#[test]
fn one_channel_and_one_pixel() {
    for kernel in [1, 3, 7] {
        for stride in [1, 2] {
            let geometry = Geometry { in_channels: 1, out_channels: 1, kernel, stride };
            let case = Case {
                geometry,
                activation: Activation::Identity,
                residual: None,
                batch: 1,
                height: 1,
                width: 1,
                threads: 2,
                seed: 3,
            };
            assert_equal(&case, &tiled(2));
        }
    }
}

/// More pixels than a tile, in sizes that are no multiple of one.
#[test]
fn several_tiles() {
    for (kernel, stride) in [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)] {
        let case = Case {
            geometry: Geometry { in_channels: 5, out_channels: 9, kernel, stride },
            activation: Activation::LeakyRelu(0.1),
            residual: Some(Residual::BeforeActivation),
            batch: 2,
            height: 61,
            width: 83,
            threads: 3,
            seed: 5,
        };
        assert_equal(&case, &tiled(3));
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let geometry = Geometry { in_channels: 2, out_channels: 3, kernel: 3, stride: 1 };
    let engine = tiled(1);
    assert!(Conv2d::new(&engine, geometry, Activation::Relu, vec![0.0; 53], vec![0.0; 3]).is_err());
    assert!(Conv2d::new(&engine, geometry, Activation::Relu, vec![0.0; 54], vec![0.0; 2]).is_err());
    let conv = Conv2d::new(&engine, geometry, Activation::Relu, vec![0.0; 54], vec![0.0; 3]).unwrap();
    let zeros = |shape: (usize, usize, usize, usize)| {
        Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap()
    };
    assert!(conv.forward(&zeros((1, 3, 4, 4))).is_err());
    assert!(conv.forward(&zeros((1, 2, 4, 5)).transpose(2, 3).unwrap()).is_err());
    let input = zeros((1, 2, 4, 4));
    assert!(conv.forward_residual(&input, &zeros((1, 3, 4, 5)), Residual::AfterActivation).is_err());
    assert_eq!(conv.forward(&zeros((0, 2, 4, 4))).unwrap().dims4().unwrap(), (0, 3, 4, 4));
}
