//! Programs for every instruction set and method.

use super::*;
use crate::executor::Error;
use quantization::storages;
use winograd::{TileSize, Transformed};

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
            let program =
                Program::with(graph, size, kernels, threads, &Arithmetic::Single, choose, &mut weights)
                    .unwrap();
            programs.push((format!("{}, {method}", kernels.instruction_set), program));
        };
        for tile in TileSize::ALL {
            for transformed in [Transformed::AtLoad, Transformed::EachRun] {
                add(&format!("{tile:?}, weights transformed {transformed:?}"), &|candidates| {
                    candidates.iter().map(|candidate| by_tiles(candidate, tile, transformed)).collect()
                });
            }
        }
        add("least memory", &|candidates| choice::choose(candidates, kernels, 0));
        add("least time", &|candidates| choice::choose(candidates, kernels, usize::MAX));
    }
    programs
}

/// The graph as a program of halves or bytes for all kernels of their own that this processor can run, with tiles of so many
/// outputs an axis for Winograd's way, or without it.
pub(in crate::executor) fn programs_of(
    arithmetic: &Arithmetic,
    tile: Option<usize>,
    graph: &Graph,
    size: Size,
    threads: usize,
    weights: &[Weights],
) -> Vec<(String, Program)> {
    let tile = tile.and_then(|outputs| TileSize::ALL.into_iter().find(|tile| tile.outputs() == outputs));
    let choose = |candidates: &[Candidate]| match tile {
        Some(tile) => {
            candidates.iter().map(|candidate| by_tiles(candidate, tile, Transformed::AtLoad)).collect()
        }
        None => candidates.iter().map(|_| Method::Direct).collect(),
    };
    let program = |(index, kernels): (usize, &'static Kernels)| {
        let mut next = weights.iter();
        let mut weights = |_: &ConvSpec| Ok::<_, Error>(next.next().unwrap().clone());
        let threads = NonZeroUsize::new(threads);
        let program =
            Program::with(graph, size, kernels, threads, arithmetic, &choose, &mut weights).unwrap();
        (format!("{} of kernels {index}, {tile:?}", kernels.instruction_set), program)
    };
    let mut available = Kernels::available();
    available.dedup_by_key(|kernels| {
        let is_one_instruction = match arithmetic {
            Arithmetic::Single | Arithmetic::Halves => kernels.halves.is_one_instruction,
            Arithmetic::Bytes(_) => kernels.bytes.is_one_instruction,
        };
        (kernels.instruction_set, is_one_instruction)
    });
    available.into_iter().enumerate().map(program).collect()
}

/// Winograd's way wherever it serves.
fn by_tiles(candidate: &Candidate, tile: TileSize, transformed: Transformed) -> Method {
    let serves = (candidate.picture, candidate.geometry.kernel, candidate.geometry.stride);
    if serves == (false, 3, 1) { Method::Winograd(tile, transformed) } else { Method::Direct }
}

/// What a layer's values become by being stored.
pub(in crate::executor) fn rounding(graph: &Graph, arithmetic: &Arithmetic) -> impl Fn(usize, f64) -> f64 {
    let storages = storages(graph, arithmetic);
    move |layer, value| match storages[layer] {
        Storage::Numbers => value,
        Storage::Halves => half::bf16::from_f32(value as f32).to_f64(),
        Storage::Bytes(Quantization { scale, zero }) => {
            let (scale, zero) = (f64::from(scale), f64::from(zero));
            ((value / scale + zero).round_ties_even().clamp(0.0, 255.0) - zero) * scale
        }
    }
}

/// What weights become by being stored, where they meet what is no numbers.
pub(in crate::executor) fn rounded_weights(
    graph: &Graph,
    arithmetic: &Arithmetic,
    weights: &[Weights],
) -> Vec<Weights> {
    let (storages, mut rounded) = (storages(graph, arithmetic), weights.to_vec());
    for node in graph.nodes() {
        let crate::graph::Op::Conv { convolution, input, .. } = &node.op else { continue };
        let to = &mut rounded[*convolution].0;
        match storages[input.index()] {
            Storage::Numbers => {}
            Storage::Halves => {
                to.iter_mut().for_each(|weight| *weight = half::bf16::from_f32(*weight).to_f32());
            }
            Storage::Bytes(_) => {
                let depth = graph.convolutions()[*convolution].geometry.depth();
                let QuantizedWeights { bytes, scales } =
                    QuantizedWeights::of(&weights[*convolution].0, depth);
                let value = |(index, byte): (usize, &i8)| f32::from(*byte) * scales[index / depth];
                *to = bytes.iter().enumerate().map(value).collect();
            }
        }
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
