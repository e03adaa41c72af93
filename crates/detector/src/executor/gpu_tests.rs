//! A GPU against the definition and the processor, where there is one.

use super::definition::Definition;
use super::tests::{Case, made_ready, tensor};
use super::*;
use crate::gpu::{Gpu, GpuError};
use crate::precision::Precision;

/// How far outputs may lie from exact ones, as a share of the largest. cuDNN takes TensorFloat-32, of eleven bits, for single
/// precision, and sums halves of IEEE 754 as halves.
const TOLERANCES: [(Precision, f64); 3] = if cfg!(feature = "cudnn") {
    [(Precision::F32, 2e-2), (Precision::F16, 5e-2), (Precision::Bf16, 0.1)]
} else {
    [(Precision::F32, 1e-4), (Precision::F16, 2e-2), (Precision::Bf16, 0.1)]
};

/// The first GPU in each precision that it has, with the tolerance there; what is missing is said.
fn gpus() -> Vec<(candle::Settings, f64)> {
    let mut gpus = Vec::new();
    for (precision, share) in TOLERANCES {
        match Gpu::open(0, precision) {
            Ok(Gpu { name, device }) => {
                gpus.push((candle::Settings { device, precision, gpu: Some(name) }, share));
            }
            Err(GpuError::None(_)) => {
                println!("SKIPPED: no CUDA device");
                return Vec::new();
            }
            Err(GpuError::Precision { .. }) => println!("SKIPPED: no CUDA device for {precision}"),
            Err(error) => panic!("{error}"),
        }
    }
    gpus
}

#[test]
fn a_gpu_computes_what_a_graph_says() {
    for (settings, share) in gpus() {
        let (precision, engine) = (settings.precision, Engine::Candle(settings.clone()));
        for seed in 0..24 {
            let Case { graph, weights, size, pictures } =
                Case::random(seed, 8, (3, 5), 1 + seed as usize % 3);
            let definition = Definition::of(&graph, &pictures, &weights);
            let input = tensor(&pictures).to_device(&settings.device).unwrap();
            let outputs = made_ready(&engine, &graph, size, &weights).forward(&input).unwrap();
            definition.assert_near(&format!("{precision}, seed {seed}"), &outputs, share);
        }
    }
}

/// Batches, from two threads at once.
#[test]
fn a_gpu_computes_what_the_processor_computes() {
    const BATCH: usize = 3;
    let Case { graph, weights, size, .. } = Case::random(7, 8, (4, 4), 1);
    let outputs = |executor: &Executor| -> Vec<Vec<f32>> {
        let mut fill = |index: usize, mut picture: PictureMut<'_>| {
            picture.each_row(|y, row| {
                for (x, value) in row.iter_mut().enumerate() {
                    *value = ((index * 31 + y * 7 + x * 3) % 17) as f32 / 16.0;
                }
            });
        };
        let read = |outputs: &dyn Outputs| {
            let of = |picture| (0..graph.outputs().len()).map(move |output| (picture, output));
            let all = (0..BATCH).flat_map(of);
            all.map(|(picture, output)| outputs.head(picture, output).values().collect()).collect()
        };
        executor.run(BATCH, &mut fill, read).unwrap()
    };
    let processor = outputs(&made_ready(&Engine::Cpu(cpu::Settings::default()), &graph, size, &weights));
    for (settings, share) in gpus() {
        let precision = settings.precision;
        let gpu = made_ready(&Engine::Candle(settings), &graph, size, &weights);
        let compare = || {
            for (found, expected) in outputs(&gpu).iter().zip(&processor) {
                let largest = expected.iter().fold(1e-3, |most: f32, value| most.max(value.abs()));
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(expected) {
                    let difference = f64::from((found - expected).abs() / largest);
                    assert!(difference <= share, "{precision}: {found} instead of {expected}");
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(compare);
            scope.spawn(compare);
        });
    }
}

#[test]
fn a_gpu_that_is_not_there_is_said() {
    let error = Gpu::open(4096, Precision::F32).unwrap_err().to_string();
    assert!(error.starts_with("CUDA finds ") && error.contains("run on the processor"), "{error}");
}
