//! A network on the processor.
//!
//! [`Program::new`] plans the whole network: for each convolution the fastest method that the memory allows, for each
//! layer's output a place in one arena in a layout that all layers share, and packs the weights once. [`Program::run`]
//! then allocates nothing.

mod affinity;
#[cfg(test)]
mod allocations;
mod allowance;
mod arena;
mod attention;
mod choice;
mod context;
mod direct;
mod layout;
mod memory;
mod packing;
mod peak;
mod pixels;
mod plan;
mod profile;
mod quantization;
#[cfg(test)]
pub(super) mod tests;
mod threads;
mod winograd;

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use kernels::{InstructionSet, Kernels, LINE, Quantization, Storage};

pub(crate) use plan::PlanError;
pub use profile::{LayerTime, Profile};
pub(crate) use quantization::{Arithmetic, QuantizedWeights};

use super::{ByteRow, Head, Outputs, PictureMut, Weights};
use crate::graph::{ConvSpec, Geometry, Graph, Size};
use crate::precision::Precision;
use choice::{Candidate, Method};
use context::Context;
use memory::Aligned;
use packing::{Parameters, padded};
use plan::{Output, Packing, Plan, Step};
use threads::Threads;
use winograd::Transformed;

/// Why a network cannot be run on the processor.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The kernels cannot compute the graph.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The processor lacks the instruction set.
    #[error("this processor has no {wanted}; it has {}", available.join(", "))]
    InstructionSet {
        /// What was asked for.
        wanted: InstructionSet,
        /// What there is.
        available: Vec<&'static str>,
    },
    /// The system gives no threads.
    #[error("cannot start threads: {0}")]
    Threads(#[source] std::io::Error),
}

/// How a network uses the processor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// Threads; by default what this process may use.
    pub(crate) threads: Option<NonZeroUsize>,
    /// Bytes that packed weights may take, as far as that is possible; by default those of `usual_budget`.
    pub(crate) weights: Option<usize>,
    /// By default the fastest that the processor has.
    pub(crate) instruction_set: Option<InstructionSet>,
    /// What activations and weights are.
    pub(crate) arithmetic: Arithmetic,
}

/// A network with its weights, ready to run.
#[derive(Debug)]
pub(crate) struct Program {
    kernels: &'static Kernels,
    plan: Plan,
    convolutions: Vec<ConvSpec>,
    /// Of each of the plan's packings.
    parameters: Vec<Parameters>,
    state: Mutex<State>,
}

/// What one run at a time uses.
#[derive(Debug)]
struct State {
    threads: Threads,
    /// For the largest batch so far.
    arena: Aligned,
    scratch: Aligned,
    /// For pictures of bytes.
    row: ByteRow,
}

impl Program {
    /// Plans `graph` for pictures of `size` and packs its weights, for which `weights` is asked one convolution after the
    /// other.
    ///
    /// # Errors
    ///
    /// Those of `weights`, and if the kernels cannot compute the graph or the system gives no threads.
    pub(super) fn new<E: From<super::Error>>(
        graph: &Graph,
        size: Size,
        settings: &Settings,
        weights: &mut dyn FnMut(&ConvSpec) -> std::result::Result<Weights, E>,
    ) -> std::result::Result<Self, E> {
        let kernels = Kernels::chosen(settings.instruction_set).ok_or_else(|| {
            super::Error::from(Error::InstructionSet {
                wanted: settings.instruction_set.unwrap_or(InstructionSet::Portable),
                available: Kernels::available()
                    .iter()
                    .map(|kernels| kernels.instruction_set.name())
                    .collect(),
            })
        })?;
        let budget = settings.weights.unwrap_or_else(|| usual_budget(graph));
        let choose = |candidates: &[Candidate]| choice::choose(candidates, kernels, budget);
        Self::with(graph, size, kernels, settings.threads, &settings.arithmetic, &choose, weights)
    }

    fn with<E: From<super::Error>>(
        graph: &Graph,
        size: Size,
        kernels: &'static Kernels,
        threads: Option<NonZeroUsize>,
        arithmetic: &Arithmetic,
        choose: &dyn Fn(&[Candidate]) -> Vec<Method>,
        weights: &mut dyn FnMut(&ConvSpec) -> std::result::Result<Weights, E>,
    ) -> std::result::Result<Self, E> {
        let plan = plan::plan(graph, size, kernels, arithmetic, choose)
            .map_err(|error| super::Error::from(Error::from(error)))?;
        let mut threads = Threads::new(threads).map_err(|error| super::Error::from(Error::Threads(error)))?;
        let mut packed: Vec<(usize, Parameters)> = Vec::with_capacity(plan.packings.len());
        for (convolution, spec) in graph.convolutions().iter().enumerate() {
            let (weight, bias) = weights(spec)?;
            for (index, packing) in plan.packings.iter().enumerate() {
                if packing.convolution == convolution {
                    packed.push((
                        index,
                        pack(packing, &spec.geometry, kernels, (&weight, &bias), &mut threads),
                    ));
                }
            }
        }
        packed.sort_by_key(|(index, _)| *index);
        let parameters = packed.into_iter().map(|(_, parameters)| parameters).collect();
        let scratch = Aligned::zeroed(plan.scratch * threads.count());
        let arena = Aligned::zeroed(plan.arena);
        let row = match plan.picture.storage {
            Storage::Numbers | Storage::Halves => ByteRow::default(),
            Storage::Bytes(_) => ByteRow::new(size.1),
        };
        let state = Mutex::new(State { threads, arena, scratch, row });
        Ok(Self { kernels, plan, convolutions: graph.convolutions().to_vec(), parameters, state })
    }

    /// What its weights and activations are, but for those that have to be numbers.
    pub(crate) fn precision(&self) -> Precision {
        let of = |packing: &Packing| match packing.input {
            Storage::Numbers => None,
            Storage::Halves => Some(Precision::Bf16),
            Storage::Bytes(_) => Some(Precision::Int8),
        };
        self.plan.packings.iter().find_map(of).unwrap_or(Precision::F32)
    }

    /// What it runs on.
    pub(crate) fn instruction_set(&self) -> InstructionSet {
        self.kernels.instruction_set
    }

    /// Height and width of its pictures.
    pub(crate) fn size(&self) -> Size {
        self.plan.picture.size
    }

    /// Runs the network on a batch: `fill` is called for each picture, `read` once with the outputs.
    pub(super) fn run<T>(
        &self,
        batch: usize,
        fill: &mut dyn FnMut(usize, PictureMut<'_>),
        read: impl FnOnce(&dyn Outputs) -> T,
    ) -> T {
        // A panic leaves no state behind that matters: every run writes what it reads.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { threads, arena, scratch, row } = &mut *state;
        self.reserve(batch, arena);
        self.fill(batch, arena, row, fill);
        self.compute(batch, threads, arena, scratch);
        read(&InArena { outputs: &self.plan.outputs, batch, arena: arena.values() })
    }

    /// Runs the network, which computes in single precision, on one picture, and calls `see` with the output of each
    /// convolution by its number.
    #[cfg(feature = "detect")]
    pub(super) fn observe(
        &self,
        fill: &mut dyn FnMut(usize, PictureMut<'_>),
        see: &mut dyn FnMut(usize, &Head<'_>),
    ) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { threads, arena, scratch, row } = &mut *state;
        self.fill(1, arena, row, fill);
        for step in &self.plan.steps {
            self.step(step, &mut self.context(1, threads, arena, scratch));
            let (packing, region) = match step {
                Step::Direct { packing, conv } => (*packing, conv.output),
                Step::Winograd { packing, conv } => (*packing, conv.output),
                Step::Move(_) | Step::Join(_) | Step::Attention(_) => continue,
            };
            let convolution = self.plan.packings[packing].convolution;
            let channels = self.convolutions[convolution].geometry.out_channels;
            let outputs = [Output { region, channels }];
            see(convolution, &InArena { outputs: &outputs, batch: 1, arena: arena.values() }.head(0, 0));
        }
    }

    /// Holds memory for batches of so many pictures, no more and no less.
    pub(crate) fn hold_memory_for(&self, batch: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let values = (batch.max(1) * self.plan.arena).next_multiple_of(LINE);
        if state.arena.len() != values {
            // The old one first.
            state.arena = Aligned::default();
            state.arena = Aligned::zeroed(values);
        }
    }

    /// Makes the arena large enough for a batch.
    fn reserve(&self, batch: usize, arena: &mut Aligned) {
        if arena.len() < batch * self.plan.arena {
            *arena = Aligned::zeroed(batch * self.plan.arena);
        }
    }

    /// Puts the pictures where the first layer reads them.
    fn fill(
        &self,
        batch: usize,
        arena: &mut Aligned,
        row: &mut ByteRow,
        fill: &mut dyn FnMut(usize, PictureMut<'_>),
    ) {
        let region = self.plan.picture;
        let (height, width) = region.size;
        for picture in 0..batch {
            let start = region.start(batch, picture);
            let shared = arena.shared();
            #[expect(unsafe_code, reason = "the border is cleared through a pointer")]
            // SAFETY: the region lies in the arena, which nobody else uses.
            unsafe {
                region.clear_border(shared, start, 0..height, 0..width);
            }
            let first = start + region.pixel(0, 0);
            let values = &mut arena.values_mut()[first..start + region.block()];
            let target = match region.storage {
                Storage::Numbers | Storage::Halves => PictureMut::new(values, region.row(), region.size),
                Storage::Bytes(_) => PictureMut::of_bytes(values, region.row(), region.size, row),
            };
            fill(picture, target);
        }
    }

    fn compute(&self, batch: usize, threads: &mut Threads, arena: &mut Aligned, scratch: &mut Aligned) {
        let mut context = self.context(batch, threads, arena, scratch);
        for step in &self.plan.steps {
            self.step(step, &mut context);
        }
    }

    fn context<'a>(
        &self,
        batch: usize,
        threads: &'a mut Threads,
        arena: &'a mut Aligned,
        scratch: &'a mut Aligned,
    ) -> Context<'a> {
        Context {
            kernels: self.kernels,
            threads,
            arena: arena.shared(),
            scratch: scratch.shared(),
            scratch_each: self.plan.scratch,
            batch,
        }
    }

    /// Runs a layer of this program's plan.
    fn step(&self, step: &Step, context: &mut Context<'_>) {
        #[expect(unsafe_code, reason = "layers reach into the arena through pointers")]
        // SAFETY: the plan placed all regions in the arena, those of neighbours apart; the step's parameters are packed for
        // its method and what it reads; arena and scratch, as large as the plan says, are borrowed for the context's life.
        unsafe {
            match step {
                Step::Direct { packing, conv } => conv.run(context, &self.parameters[*packing]),
                Step::Winograd { packing, conv } => conv.run(context, &self.parameters[*packing]),
                Step::Move(step) => step.run(context),
                Step::Join(step) => step.run(context),
                Step::Attention(step) => step.run(context),
            }
        }
    }

    /// The raw outputs, each `[batch, channels, rows, columns]`, of pictures `[batch, 3, height, width]`.
    pub(super) fn forward(&self, pictures: &Tensor) -> Result<Vec<Tensor>> {
        let batch = pictures.dim(0)?;
        let all = pictures.contiguous()?.apply_op1_no_bwd(self)?;
        let mut first = 0;
        let mut outputs = Vec::with_capacity(self.plan.outputs.len());
        for Output { region, channels } in &self.plan.outputs {
            let (rows, columns) = region.size;
            let length = channels * rows * columns;
            outputs.push(all.narrow(1, first, length)?.reshape((batch, *channels, rows, columns))?);
            first += length;
        }
        Ok(outputs)
    }
}

/// What a convolution of these weights and biases computes with.
fn pack(
    packing: &Packing,
    geometry: &Geometry,
    kernels: &Kernels,
    (weight, bias): (&[f32], &[f32]),
    threads: &mut Threads,
) -> Parameters {
    let weights = match (packing.method, packing.input) {
        (Method::Direct, Storage::Bytes(input)) => {
            return quantized(geometry, kernels, input, weight, bias, threads);
        }
        (Method::Direct, Storage::Numbers) => direct::pack(geometry, kernels, weight, threads),
        (Method::Direct, Storage::Halves) => direct::pack_halves(geometry, kernels, weight, threads),
        (Method::Winograd(tile, Transformed::AtLoad), input) => {
            winograd::pack(tile, geometry, input, kernels, weight, threads)
        }
        (Method::Winograd(tile, Transformed::EachRun), _) => {
            winograd::pack_taps(tile, geometry, kernels, weight, threads)
        }
    };
    Parameters { weights, scales: Aligned::default(), bias: padded(bias, kernels.lanes) }
}

/// What a convolution of bytes computes with. Of its sums `Σ weight * value`, those of `weight * zero` are the same for all
/// pixels, because borders are zeros, too; the bias takes them away.
fn quantized(
    geometry: &Geometry,
    kernels: &Kernels,
    input: Quantization,
    weight: &[f32],
    bias: &[f32],
    threads: &mut Threads,
) -> Parameters {
    let quantized = QuantizedWeights::of(weight, geometry.depth());
    let scales: Vec<f32> = quantized.scales.iter().map(|scale| scale * input.scale).collect();
    let bias: Vec<f32> = bias
        .iter()
        .zip(&scales)
        .enumerate()
        .map(|(channel, (&bias, &scale))| {
            let zeros = f64::from(input.zero) * quantized.sum(channel) as f64;
            (f64::from(bias) - zeros * f64::from(scale)) as f32
        })
        .collect();
    Parameters {
        weights: direct::pack_bytes(geometry, kernels, &quantized.bytes, threads),
        scales: padded(&scales, kernels.lanes),
        bias: padded(&bias, kernels.lanes),
    }
}

/// Whether bytes are faster than numbers with the kernels of this instruction set, or by default the best.
pub(crate) fn multiplies_bytes(instruction_set: Option<InstructionSet>) -> bool {
    Kernels::chosen(instruction_set).is_some_and(|kernels| kernels.bytes.is_one_instruction)
}

/// Bytes for packed weights where nobody says how many: 2.3 times the plain ones, with which a network takes a few per cent
/// more time than with as many as serve.
fn usual_budget(graph: &Graph) -> usize {
    let plain: usize =
        graph.convolutions().iter().map(|spec| spec.geometry.weights() * size_of::<f32>()).sum();
    // Half of what the process may use is left for everything else.
    let allowed = allowance::memory().unwrap_or(usize::MAX);
    (plain / 10 * 23).min(allowed / 2)
}

/// Pictures `[batch, 3, height, width]` to `[batch, values]`, which are those of the outputs one after the other, each
/// in the order channel, row, column.
impl CustomOp1 for Program {
    fn name(&self) -> &'static str {
        "network"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, height, width) = layout.shape().dims4()?;
        if (channels, (height, width)) != (3, self.size()) {
            candle_core::bail!("pictures of {:?} for a network of {:?}", layout.shape(), self.size());
        }
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("a network needs a contiguous tensor");
        };
        let planes = &storage.as_slice::<f32>()?[start..end];
        let mut fill = |picture: usize, mut pixels: PictureMut<'_>| {
            let planes = &planes[picture * 3 * height * width..];
            pixels.each_row(|y, row| {
                for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
                    for (channel, value) in pixel.iter_mut().enumerate() {
                        *value = planes[(channel * height + y) * width + x];
                    }
                }
            });
        };
        let values = self.run(batch, &mut fill, |outputs| {
            let mut values = Vec::new();
            for picture in 0..batch {
                for output in 0..self.plan.outputs.len() {
                    let head = outputs.head(picture, output);
                    for plane in (0..head.channels()).map(|channel| head.plane(channel)) {
                        for row in 0..head.size().0 {
                            values.extend((0..head.size().1).map(|column| plane.get(row, column)));
                        }
                    }
                }
            }
            values
        });
        let shape = Shape::from((batch, values.len() / batch.max(1)));
        Ok((CpuStorage::F32(values), shape))
    }
}

/// The outputs of a batch in an arena.
struct InArena<'a> {
    outputs: &'a [Output],
    batch: usize,
    arena: &'a [f32],
}

impl Outputs for InArena<'_> {
    fn head(&self, picture: usize, output: usize) -> Head<'_> {
        let Output { region, channels } = self.outputs[output];
        assert_eq!(region.storage, Storage::Numbers);
        Head {
            values: &self.arena[region.start(self.batch, picture)..][..region.blocks * region.block()],
            lanes: region.lanes,
            block: region.block(),
            row: region.row(),
            first: region.pixel(0, 0),
            channels,
            size: region.size,
        }
    }
}
