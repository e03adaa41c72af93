//! Where a network's time goes.

use std::time::{Duration, Instant};

use kernels::Storage;

use super::choice::Method;
use super::layout::Region;
use super::peak;
use super::plan::Step;
use super::winograd::TileSize;
use super::{PictureMut, PoisonError, Precision, Program, State};

/// What one layer takes.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerTime {
    /// Its name in the model file; for layers without weights what they do.
    pub name: String,
    /// How it is computed: `direct`, `winograd 2`, `winograd 3` or `winograd 4` by the outputs of an axis of a tile, with
    /// `bf16` or `int8` behind it where it is not in single precision; `attention` or `move`.
    pub method: &'static str,
    /// Multiplications and additions of the layer's definition for the whole batch.
    pub flops: u64,
    /// What it reads and writes at least for the whole batch, in bytes: its packed weights once, its inputs and its output.
    pub bytes: u64,
    /// The median of several runs on the batch.
    pub time: Duration,
    /// Multiplications and additions a second of one thread that does nothing else, with numbers as the layer's.
    pub peak_flops: f64,
}

/// A network's layers beside what the processor can do.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// In the order in which they run.
    pub layers: Vec<LayerTime>,
    /// Multiplications and additions a second of one thread that does nothing else, in single precision.
    pub peak_flops: f64,
    /// The same in the network's precision, where that is another.
    pub peak_lower: Option<f64>,
    /// Bytes a second that all threads together read from memory.
    pub reading: f64,
    /// Threads that the layers ran on.
    pub threads: usize,
}

impl Program {
    /// Runs the network `runs` times on so many pictures and times each layer.
    pub(crate) fn profile(&self, runs: usize, batch: usize) -> Profile {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { threads, arena, scratch, row } = &mut *state;
        self.reserve(batch, arena);
        let mut fill = |_: usize, mut picture: PictureMut<'_>| picture.each_row(|_, row| row.fill(0.5));
        let mut times = vec![Vec::with_capacity(runs); self.plan.steps.len()];
        for _ in 0..runs {
            self.fill(batch, arena, row, &mut fill);
            let mut context = self.context(batch, threads, arena, scratch);
            for (step, times) in self.plan.steps.iter().zip(&mut times) {
                let begin = Instant::now();
                self.step(step, &mut context);
                times.push(begin.elapsed());
            }
        }
        let peak_flops = peak::arithmetic(self.kernels.numbers.peak);
        let peak_lower = match self.precision() {
            Precision::F32 | Precision::F16 => None,
            Precision::Bf16 => Some(peak::arithmetic(self.kernels.halves.peak)),
            Precision::Int8 => Some(peak::arithmetic(self.kernels.bytes.peak)),
        };
        let layers = self.plan.steps.iter().zip(times).map(|(step, mut times)| {
            times.sort_unstable();
            let time = times.get(times.len() / 2).copied().unwrap_or_default();
            let (name, method, flops) = self.describe(step);
            let peak_flops = peak_lower.filter(|_| self.is_lower(step)).unwrap_or(peak_flops);
            let bytes = self.bytes(step, batch);
            LayerTime { name, method, flops: flops * batch as u64, bytes, time, peak_flops }
        });
        let layers = layers.collect();
        Profile { layers, peak_flops, peak_lower, reading: peak::reading(threads), threads: threads.count() }
    }

    /// Whether a layer multiplies what is not in single precision.
    fn is_lower(&self, step: &Step) -> bool {
        match step {
            Step::Direct { packing, .. } | Step::Winograd { packing, .. } => {
                self.plan.packings[*packing].input != Storage::Numbers
            }
            Step::Move(_) | Step::Join(_) | Step::Attention(_) => false,
        }
    }

    /// What a layer reads and writes at least for a batch.
    fn bytes(&self, step: &Step, batch: usize) -> u64 {
        let of = |region: &Region| region.blocks * region.block();
        let convolution = |packing: usize, input, output, residual: &Option<Region>| {
            (self.parameters[packing].weights.len(), of(input) + of(output) + residual.as_ref().map_or(0, of))
        };
        let (weights, regions) = match step {
            Step::Direct { packing, conv } => {
                convolution(*packing, &conv.input, &conv.output, &conv.residual)
            }
            Step::Winograd { packing, conv } => {
                convolution(*packing, &conv.input, &conv.output, &conv.residual)
            }
            Step::Move(step) => (0, of(&step.input) + of(&step.output)),
            Step::Join(step) => (0, 2 * of(&step.input)),
            Step::Attention(step) => {
                (0, [&step.query, &step.key, &step.value, &step.output].into_iter().map(of).sum())
            }
        };
        ((weights + regions * batch) * size_of::<f32>()) as u64
    }

    fn describe(&self, step: &Step) -> (String, &'static str, u64) {
        let (packing, (height, width)) = match step {
            Step::Direct { packing, conv } => (*packing, conv.output.size),
            Step::Winograd { packing, conv } => (*packing, conv.output.size),
            Step::Move(step) => return (step.kind.name().into(), "move", 0),
            Step::Join(_) => return ("concat".into(), "move", 0),
            Step::Attention(step) => {
                let pixels = step.output.size.0 * step.output.size.1;
                let values = step.output.blocks * step.output.lanes;
                let flops = 2 * pixels * pixels * (step.channels + values);
                return ("attention".into(), "attention", flops as u64);
            }
        };
        let packing = self.plan.packings[packing];
        let spec = &self.convolutions[packing.convolution];
        use Storage::{Bytes, Halves, Numbers};
        use TileSize::{Four, Six, Three, Two};
        let method = match (packing.method, packing.input) {
            (Method::Direct, Numbers) => "direct",
            (Method::Direct, Halves) => "direct bf16",
            (Method::Direct, Bytes(_)) => "direct int8",
            (Method::Winograd(Two, _), Numbers) => "winograd 2",
            (Method::Winograd(Three, _), Numbers) => "winograd 3",
            (Method::Winograd(Four, _), Numbers) => "winograd 4",
            (Method::Winograd(Six, _), Numbers) => "winograd 6",
            (Method::Winograd(Two, _), _) => "winograd 2 bf16",
            (Method::Winograd(Three, _), _) => "winograd 3 bf16",
            (Method::Winograd(Four, _), _) => "winograd 4 bf16",
            (Method::Winograd(Six, _), _) => "winograd 6 bf16",
        };
        (spec.name.clone(), method, 2 * (spec.geometry.weights() * height * width) as u64)
    }
}
