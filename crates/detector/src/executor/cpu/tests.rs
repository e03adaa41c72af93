//! Programs for every instruction set and method.

use super::*;
use crate::executor::Error;
use quantization::storages;
use winograd::TileSize;

/// The graph as a program for each instruction set that this processor has, with each method wherever it serves, and as it
/// is planned with much and with no memory for weights.
pub(in crate::executor) fn programs(
    graph: &Graph,
    size: Size,
    threads: usize,
    weights: &[Weights],
) -> Vec<(String, Program)> {
    let mut programs = Vec::new();
    let mut available = Kernels::available();
    // Some differ in what they do with bytes only.
    available.dedup_by_key(|kernels| kernels.instruction_set);
    for kernels in available {
        let mut add = |method: &str, choose: &dyn Fn(&[Candidate]) -> Vec<Method>| {
            let mut next = weights.iter();
            let mut weights = |_: &ConvSpec| Ok::<_, Error>(next.next().unwrap().clone());
            let threads = NonZeroUsize::new(threads);
            let program = Program::with(graph, size, kernels, threads, None, choose, &mut weights).unwrap();
            programs.push((format!("{}, {method}", kernels.instruction_set), program));
        };
        for tile in TileSize::ALL {
            add(&format!("{tile:?}"), &|candidates| {
                let method = |candidate: &Candidate| {
                    let serves = (candidate.picture, candidate.geometry.kernel, candidate.geometry.stride);
                    if serves == (false, 3, 1) { Method::Winograd(tile) } else { Method::Direct }
                };
                candidates.iter().map(method).collect()
            });
        }
        add("least memory", &|candidates| choice::choose(candidates, kernels, 0));
        add("least time", &|candidates| choice::choose(candidates, kernels, usize::MAX));
    }
    programs
}

/// The graph as a program of bytes for all kernels that this processor can run, with these ranges of the convolutions'
/// outputs.
pub(in crate::executor) fn programs_of_bytes(
    graph: &Graph,
    size: Size,
    threads: usize,
    weights: &[Weights],
    ranges: &[[f32; 2]],
) -> Vec<(String, Program)> {
    let program = |(index, kernels): (usize, &'static Kernels)| {
        let mut next = weights.iter();
        let mut weights = |_: &ConvSpec| Ok::<_, Error>(next.next().unwrap().clone());
        let choose = |candidates: &[Candidate]| choice::choose(candidates, kernels, usize::MAX);
        let threads = NonZeroUsize::new(threads);
        let program =
            Program::with(graph, size, kernels, threads, Some(ranges), &choose, &mut weights).unwrap();
        (format!("{} of kernels {index}", kernels.instruction_set), program)
    };
    Kernels::available().into_iter().enumerate().map(program).collect()
}

/// What a layer's values become by being stored as bytes of these ranges.
pub(in crate::executor) fn rounding(graph: &Graph, ranges: &[[f32; 2]]) -> impl Fn(usize, f64) -> f64 {
    let storages = storages(graph, ranges);
    move |layer, value| match storages[layer] {
        Storage::Numbers => value,
        Storage::Bytes(Quantization { scale, zero }) => {
            let (scale, zero) = (f64::from(scale), f64::from(zero));
            ((value / scale + zero).round_ties_even().clamp(0.0, 255.0) - zero) * scale
        }
    }
}

/// What weights become by being stored as bytes.
pub(in crate::executor) fn rounded_weights(graph: &Graph, weights: &[Weights]) -> Vec<Weights> {
    let mut rounded = weights.to_vec();
    for (spec, (weights, _)) in graph.convolutions().iter().zip(&mut rounded) {
        let depth = spec.geometry.depth();
        let QuantizedWeights { bytes, scales } = QuantizedWeights::of(weights, depth);
        let value = |(index, byte): (usize, &i8)| f32::from(*byte) * scales[index / depth];
        *weights = bytes.iter().enumerate().map(value).collect();
    }
    rounded
}

#[test]
fn only_the_first_run_of_a_batch_allocates() {
    let graph = crate::network::graph(&crate::network::Scale::multiplied(
        crate::network::Backbone::Resnet18,
        0.25,
        2,
    ));
    let mut random = crate::testing::Random(1);
    let mut weights = |spec: &ConvSpec| {
        let mut values = |count| (0..count).map(|_| random.next() / spec.geometry.depth() as f32).collect();
        Ok::<_, Error>((values(spec.geometry.weights()), values(spec.geometry.out_channels)))
    };
    let settings = Settings { threads: NonZeroUsize::new(2), ..Settings::default() };
    let program = Program::new(&graph, (64, 96), &settings, &mut weights).unwrap();
    let mut fill = |_: usize, mut picture: PictureMut<'_>| picture.each_row(|_, row| row.fill(0.5));
    let mut run =
        |batch| program.run(batch, &mut fill, |outputs| outputs.head(batch - 1, 2).plane(4).get(1, 2));
    let first = [run(1), run(2)];
    // Each thread waits for the other, so that both take a task.
    let barrier = std::sync::Barrier::new(2);
    let watch = |watched| {
        program.state.lock().unwrap().threads.run(2, &|_, _| {
            barrier.wait();
            allocations::watch(watched);
        });
    };
    watch(true);
    let before = allocations::counted();
    let again = [run(1), run(2), run(1)];
    let counted = allocations::counted() - before;
    let boxed = Box::new(again);
    assert_eq!(allocations::counted() - before, counted + 1, "an allocation was not counted");
    watch(false);
    assert_eq!(counted, 0);
    assert_eq!(*boxed, [first[0], first[1], first[0]]);
}
