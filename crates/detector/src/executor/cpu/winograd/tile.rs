//! Sizes of tiles.

use kernels::{Kernels, Storage, Tile, Tile2, Tile3, Tile4, Tile6, Transforms};

/// Outputs of an axis of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum TileSize {
    Two,
    Three,
    Four,
    Six,
}

impl TileSize {
    /// Every size.
    pub(in super::super) const ALL: [Self; 4] = [Self::Two, Self::Three, Self::Four, Self::Six];

    /// Whether what is stored in such a way is exact enough at the points: there halves lose the more, the larger the tile.
    pub(in super::super) fn serves(self, input: Storage) -> bool {
        input == Storage::Numbers || self != Self::Six
    }

    pub(in super::super) fn outputs(self) -> usize {
        match self {
            Self::Two => Tile2::OUTPUTS,
            Self::Three => Tile3::OUTPUTS,
            Self::Four => Tile4::OUTPUTS,
            Self::Six => Tile6::OUTPUTS,
        }
    }

    /// Points of a row of a tile.
    pub(super) fn row(self) -> usize {
        self.outputs() + 2
    }

    /// Points of a tile.
    pub(in super::super) fn points(self) -> usize {
        self.row() * self.row()
    }

    /// Rows and columns of tiles that cover a picture.
    pub(in super::super) fn cover(self, (height, width): (usize, usize)) -> (usize, usize) {
        (height.div_ceil(self.outputs()), width.div_ceil(self.outputs()))
    }

    pub(super) fn transforms(self, kernels: &Kernels) -> Transforms {
        match self {
            Self::Two => kernels.transforms[0],
            Self::Three => kernels.transforms[1],
            Self::Four => kernels.transforms[2],
            Self::Six => kernels.transforms[3],
        }
    }
}
