//! Where a network's time goes.

use std::time::{Duration, Instant};

use super::choice::Method;
use super::plan::Step;
use super::quantization::Storage;
use super::winograd::TileSize;
use super::{PictureMut, PoisonError, Program, State};

/// The method of convolutions of bytes.
const INT8: &str = "direct int8";

/// What one layer takes.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerTime {
    /// Its name in the model file; for layers without weights what they do.
    pub name: String,
    /// How it is computed: `direct`, `direct int8`, `winograd 2`, `winograd 3` or `winograd 4` by the outputs of an axis of a tile, `attention` or
    /// `move`.
    pub method: &'static str,
    /// Multiplications and additions of the layer's definition for the whole batch.
    pub flops: u64,
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
    /// The same with bytes, where the network computes with them.
    pub peak_int8: Option<f64>,
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
        let peak_flops = peak(self.kernels.peak);
        let peak_int8 = self.is_of_bytes().then(|| peak(self.kernels.peak_bytes));
        let layers = self.plan.steps.iter().zip(times).map(|(step, mut times)| {
            times.sort_unstable();
            let time = times.get(times.len() / 2).copied().unwrap_or_default();
            let (name, method, flops) = self.describe(step);
            let peak_flops = peak_int8.filter(|_| method == INT8).unwrap_or(peak_flops);
            LayerTime { name, method, flops: flops * batch as u64, time, peak_flops }
        });
        Profile { layers: layers.collect(), peak_flops, peak_int8, threads: threads.count() }
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
        let method = match packing.method {
            Method::Direct if packing.input != Storage::Numbers => INT8,
            Method::Direct => "direct",
            Method::Winograd(TileSize::Two) => "winograd 2",
            Method::Winograd(TileSize::Three) => "winograd 3",
            Method::Winograd(TileSize::Four) => "winograd 4",
        };
        (spec.name.clone(), method, 2 * (spec.geometry.weights() * height * width) as u64)
    }
}

/// What a thread does in a loop of multiplications and additions in registers, a second.
fn peak(kernel: unsafe fn(usize) -> usize) -> f64 {
    const ROUNDS: usize = 2_000_000;
    let rate = || {
        let begin = Instant::now();
        #[expect(unsafe_code, reason = "a kernel")]
        // SAFETY: the program's kernels are those of this processor.
        let operations = unsafe { kernel(ROUNDS) };
        operations as f64 / begin.elapsed().as_secs_f64()
    };
    // The best of a few: anything else on the machine only takes away.
    (0..5).map(|_| rate()).fold(0.0, f64::max)
}
