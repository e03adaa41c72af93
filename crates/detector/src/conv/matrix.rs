//! Row-major matrices, and products written into column tiles of one matrix from several threads.
//!
//! The interface is safe; every check that the unsafe blocks rest on is made here.
#![expect(
    unsafe_code,
    reason = "gemm takes raw pointers, and disjoint columns of one row-major matrix are no slices"
)]

use std::marker::PhantomData;

use gemm::Parallelism;

/// A row-major matrix whose rows lie `stride` values apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a> Matrix<'a> {
    /// A view of `values`.
    ///
    /// # Panics
    ///
    /// If `values` is too short for the shape.
    pub(super) fn new(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(rows > 0 && columns > 0 && columns <= stride, "{rows}x{columns} with rows {stride} apart");
        let end = (rows - 1).checked_mul(stride).and_then(|last_row| last_row.checked_add(columns));
        assert!(end.is_some_and(|end| end <= values.len()), "{} values are too few", values.len());
        Self { values, rows, columns, stride }
    }
}

/// Some neighbouring columns of a row-major matrix, exclusively borrowed.
#[derive(Debug)]
pub(super) struct ColumnTile<'a> {
    first: *mut f32,
    rows: usize,
    stride: usize,
    start: usize,
    width: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: a tile is an exclusive borrow of the values of its own columns (`column_tiles` makes tiles of one
// matrix disjoint), and `f32` may be sent to another thread.
unsafe impl Send for ColumnTile<'_> {}

/// Cuts a row-major matrix into tiles of `width` columns; the last may be narrower.
///
/// # Panics
///
/// If `matrix` is not `rows * columns` long, or `width` is zero.
pub(super) fn column_tiles(
    matrix: &mut [f32],
    rows: usize,
    columns: usize,
    width: usize,
) -> impl Iterator<Item = ColumnTile<'_>> {
    assert_eq!(rows.checked_mul(columns), Some(matrix.len()), "a {rows}x{columns} matrix");
    let first = matrix.as_mut_ptr();
    (0..columns).step_by(width).map(move |start| ColumnTile {
        // `start < columns <= matrix.len()`, so that this stays inside the matrix.
        first: first.wrapping_add(start),
        rows,
        stride: columns,
        start,
        width: width.min(columns - start),
        matrix: PhantomData,
    })
}

impl ColumnTile<'_> {
    /// The matrix's column that is this tile's first.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// Columns in this tile.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Every row's values in this tile, from the first row on.
    pub(super) fn for_each_row(&mut self, mut each: impl FnMut(usize, &mut [f32])) {
        for row in 0..self.rows {
            // SAFETY: `row < rows` and the tile's columns lie inside the matrix, so that these `width` values
            // do; the tile borrows them exclusively, and the slice ends before the next is made.
            let values =
                unsafe { std::slice::from_raw_parts_mut(self.first.add(row * self.stride), self.width) };
            each(row, values);
        }
    }

    /// Sets the tile to `left * right`, on the calling thread alone.
    ///
    /// # Panics
    ///
    /// If the shapes do not fit.
    pub(super) fn set_product(&mut self, left: Matrix<'_>, right: Matrix<'_>) {
        assert_eq!((left.rows, left.columns, right.columns), (self.rows, right.rows, self.width), "shapes");
        // A slice is at most `isize::MAX` bytes long, so that no stride inside one overflows `isize`.
        let stride = |stride: usize| stride as isize;
        // SAFETY: the shapes agree (asserted above); `Matrix::new` checked that both factors' values lie inside
        // their slices, and the tile's lie inside its matrix, exclusively borrowed, so that the destination
        // overlaps neither factor. `read_dst` is false and the values are initialised in any case.
        unsafe {
            gemm::gemm(
                self.rows,
                self.width,
                left.columns,
                self.first,
                1,
                stride(self.stride),
                false,
                left.values.as_ptr(),
                1,
                stride(left.stride),
                right.values.as_ptr(),
                1,
                stride(right.stride),
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }
}
