//! Convolution on the processor: for each tile of output pixels one matrix product straight into the output,
//! then bias, residual and activation while the tile is in the cache.
//!
//! A 1x1 convolution of stride 1 multiplies its input where it lies; any other gathers the tile's inputs first.

use std::cell::RefCell;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape};
use rayon::ThreadPool;
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use super::columns::{Planes, gather};
use super::matrix::{ColumnTile, Matrix, column_tiles};
use super::{Activation, Geometry, Residual};

/// Output pixels of a tile: gathered inputs stay in the cache, and the product is still wide enough.
const TILE: usize = 256;
/// Tiles begin at multiples of this many pixels, the `f32` lanes of the widest vector registers.
const LANES: usize = 16;

thread_local! {
    /// Gathered inputs; kept, because fresh pages cost more than filling them.
    static COLUMNS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Weights as a row-major matrix `[out, in * kernel * kernel]`, which is the order of the model file.
#[derive(Debug)]
pub(crate) struct TiledConv {
    geometry: Geometry,
    activation: Activation,
    weight: Vec<f32>,
    bias: Vec<f32>,
    pool: Arc<ThreadPool>,
}

impl TiledConv {
    pub(super) fn new(
        geometry: Geometry,
        activation: Activation,
        weight: Vec<f32>,
        bias: Vec<f32>,
        pool: Arc<ThreadPool>,
    ) -> Self {
        Self { geometry, activation, weight, bias, pool }
    }

    pub(super) fn with_residual(&self, when: Residual) -> TiledConvResidual<'_> {
        TiledConvResidual { conv: self, when }
    }

    /// The output of a whole batch. `residual` has the output's shape.
    fn run(
        &self,
        input: &CpuStorage,
        layout: &Layout,
        residual: Option<(&[f32], Residual)>,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, height, width) = layout.shape().dims4()?;
        if channels != self.geometry.in_channels {
            candle_core::bail!("{channels} channels for {:?}", self.geometry);
        }
        let input = contiguous(input, layout)?;
        let (output_height, output_width) =
            (self.geometry.output_length(height), self.geometry.output_length(width));
        let (out_channels, pixels) = (self.geometry.out_channels, output_height * output_width);
        let shape = Shape::from((batch, out_channels, output_height, output_width));
        if residual.is_some_and(|(values, _)| values.len() != shape.elem_count()) {
            candle_core::bail!("a residual of another shape than {shape:?}");
        }
        let mut output = vec![0.0; shape.elem_count()];
        if output.is_empty() || input.is_empty() {
            return Ok((CpuStorage::F32(output), shape));
        }
        let tile = self.tile_width(batch, pixels);
        let mut tiles = Vec::with_capacity(batch * pixels.div_ceil(tile));
        let pictures = output
            .chunks_exact_mut(out_channels * pixels)
            .zip(input.chunks_exact(channels * height * width))
            .enumerate();
        for (index, (output, input)) in pictures {
            let planes = Planes { values: input, height, width };
            let residual =
                residual.map(|(values, when)| (&values[index * output.len()..][..output.len()], when));
            tiles.extend(
                column_tiles(output, out_channels, pixels, tile).map(|tile| (planes, residual, tile)),
            );
        }
        self.pool.install(|| {
            tiles.into_par_iter().with_max_len(1).for_each(|(planes, residual, mut tile)| {
                self.multiply(planes, pixels, &mut tile);
                self.finish(residual, pixels, &mut tile);
            });
        });
        Ok((CpuStorage::F32(output), shape))
    }

    /// Pixels of a tile: as near to [`TILE`] as gives each thread the same number of tiles.
    fn tile_width(&self, batch: usize, pixels: usize) -> usize {
        let threads = self.pool.current_num_threads();
        let tiles = (batch * pixels).div_ceil(TILE).next_multiple_of(threads);
        pixels.div_ceil(tiles.div_ceil(batch)).next_multiple_of(LANES)
    }

    /// The convolution proper of one tile, `pixels` being those of the whole output.
    fn multiply(&self, input: Planes<'_>, pixels: usize, tile: &mut ColumnTile<'_>) {
        let Geometry { out_channels, kernel, stride, .. } = self.geometry;
        let depth = self.geometry.depth();
        let weight = Matrix::new(&self.weight, out_channels, depth, depth);
        let (start, width) = (tile.start(), tile.width());
        if kernel == 1 && stride == 1 {
            tile.set_product(weight, Matrix::new(&input.values[start..], depth, width, pixels));
        } else {
            COLUMNS.with_borrow_mut(|columns| {
                gather(input, &self.geometry, start, width, columns);
                tile.set_product(weight, Matrix::new(columns, depth, width, width));
            });
        }
    }

    /// Bias, residual and activation of one tile.
    fn finish(&self, residual: Option<(&[f32], Residual)>, pixels: usize, tile: &mut ColumnTile<'_>) {
        match self.activation {
            Activation::Identity => self.finish_with(|value| value, residual, pixels, tile),
            Activation::Relu => self.finish_with(|value| value.max(0.0), residual, pixels, tile),
            Activation::LeakyRelu(slope) => {
                self.finish_with(|value| value.max(slope * value), residual, pixels, tile);
            }
        }
    }

    fn finish_with(
        &self,
        activate: impl Fn(f32) -> f32,
        residual: Option<(&[f32], Residual)>,
        pixels: usize,
        tile: &mut ColumnTile<'_>,
    ) {
        let start = tile.start();
        tile.for_each_row(|channel, row| {
            let bias = self.bias[channel];
            match residual {
                None => row.iter_mut().for_each(|value| *value = activate(*value + bias)),
                Some((residual, when)) => {
                    let residual = &residual[channel * pixels + start..][..row.len()];
                    let pairs = row.iter_mut().zip(residual);
                    match when {
                        Residual::BeforeActivation => {
                            pairs.for_each(|(value, other)| *value = activate(*value + bias + other));
                        }
                        Residual::AfterActivation => {
                            pairs.for_each(|(value, other)| *value = activate(*value + bias) + other);
                        }
                    }
                }
            }
        });
    }
}

/// The values of a contiguous tensor.
fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => candle_core::bail!("a convolution needs contiguous tensors"),
    }
}

impl CustomOp1 for TiledConv {
    fn name(&self) -> &'static str {
        "tiled-convolution"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run(input, layout, None)
    }
}

/// A convolution that adds its second operand.
#[derive(Debug)]
pub(super) struct TiledConvResidual<'a> {
    conv: &'a TiledConv,
    when: Residual,
}

impl CustomOp2 for TiledConvResidual<'_> {
    fn name(&self) -> &'static str {
        "tiled-convolution-residual"
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let residual = contiguous(residual, residual_layout)?;
        self.conv.run(input, layout, Some((residual, self.when)))
    }
}
