//! Which way of computing each convolution costs the least time within a budget of memory.

use kernels::{Kernels, Storage};

use super::direct;
use super::winograd::{self, TileSize, Transformed};
use crate::graph::{Geometry, Size};

/// What one value of a tile's transforms costs, in multiplications: its loads, additions and stores.
const TRANSFORM: usize = 6;
/// What reading one packed weight from memory costs, in multiplications.
const READ: usize = 8;
/// What bringing one weight to the points costs, in multiplications for each point.
const MAKE: usize = 6;

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Direct,
    Winograd(TileSize, Transformed),
}

/// A convolution to choose a method for.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) geometry: Geometry,
    /// Whether its input is the picture.
    pub(super) picture: bool,
    /// How its input is stored.
    pub(super) input: Storage,
    /// Of its output.
    pub(super) size: Size,
}

/// A method with its cost.
#[derive(Debug, Clone, Copy)]
struct Way {
    method: Method,
    /// In multiplications.
    time: usize,
    /// Of the packed weights, in bytes.
    memory: usize,
}

impl Candidate {
    /// Every way to compute it, the fastest first.
    fn options(&self, kernels: &Kernels) -> Vec<Way> {
        let Geometry { in_channels, out_channels, kernel, stride } = self.geometry;
        let outputs = out_channels.next_multiple_of(kernels.lanes);
        let (each, at_points) = (self.input.each(), self.input.each_at_points());
        // Products that take no longer than one of numbers, by how many are made of a value.
        let at_once = |each: usize| match each {
            2 if kernels.halves.is_one_instruction => 2,
            4 if kernels.bytes.is_one_instruction => 4,
            _ => 1,
        };
        let option = |method, products: usize, other: usize, packed: usize| Way {
            method,
            time: products + other + READ * packed,
            memory: packed * size_of::<f32>(),
        };
        let pixels = self.size.0 * self.size.1;
        let mut options = vec![option(
            Method::Direct,
            pixels * self.geometry.depth() * outputs / at_once(each),
            0,
            direct::packed_len(&self.geometry, each, kernels),
        )];
        // Bytes become halves only where these are fast.
        let is_fast = each == at_points || kernels.halves.is_one_instruction;
        if (self.picture, kernel, stride) == (false, 3, 1) && is_fast {
            let inputs = in_channels.next_multiple_of(kernels.lanes);
            for tile in TileSize::ALL.into_iter().filter(|tile| tile.serves(self.input)) {
                let (rows, columns) = tile.cover(self.size);
                let points = rows * columns * tile.points();
                let products = points * inputs * outputs / at_once(at_points);
                let transforms = points * TRANSFORM * (inputs + outputs);
                let mut add = |transformed, made| {
                    let packed = winograd::packed_len(tile, transformed, &self.geometry, at_points, kernels);
                    let method = Method::Winograd(tile, transformed);
                    options.push(option(method, products, transforms + made, packed));
                };
                add(Transformed::AtLoad, 0);
                if self.input == Storage::Numbers {
                    let times = winograd::times_made(tile, rows * columns, inputs, kernels);
                    add(Transformed::EachRun, times * MAKE * tile.points() * inputs * outputs);
                }
            }
        }
        options.sort_by_key(|option| option.time);
        options
    }
}

/// The fastest methods whose packed weights take no more than `budget` bytes, or the least that there is. Where the
/// fastest take more, those change first that lose the least time for each byte.
pub(super) fn choose(candidates: &[Candidate], kernels: &Kernels, budget: usize) -> Vec<Method> {
    let options: Vec<_> = candidates.iter().map(|candidate| candidate.options(kernels)).collect();
    let mut chosen = vec![0; options.len()];
    let mut memory: usize = options.iter().map(|options| options[0].memory).sum();
    while memory > budget {
        let changes = options.iter().zip(&chosen).enumerate().flat_map(|(index, (options, &now))| {
            let current = options[now];
            options.iter().enumerate().filter(move |(_, other)| other.memory < current.memory).map(
                move |(choice, other)| {
                    let saved = current.memory - other.memory;
                    ((other.time - current.time) as f64 / saved as f64, index, choice, saved)
                },
            )
        });
        let Some((_, index, choice, saved)) = changes.min_by(|a, b| a.0.total_cmp(&b.0)) else { break };
        chosen[index] = choice;
        memory -= saved;
    }
    options.iter().zip(chosen).map(|(options, choice)| options[choice].method).collect()
}
