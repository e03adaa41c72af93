//! Register tiles of every size that an instruction set may use.
//!
//! The sizes are written out one by one: in a loop over an array of accumulators the compiler does not keep them all in
//! registers.

/// Calls `$make!(name, size, [0, 1, …])` for each size.
macro_rules! register_tiles {
    ($make:ident) => {
        $make!(tile1, 1, [0]);
        $make!(tile2, 2, [0, 1]);
        $make!(tile3, 3, [0, 1, 2]);
        $make!(tile4, 4, [0, 1, 2, 3]);
        $make!(tile5, 5, [0, 1, 2, 3, 4]);
        $make!(tile6, 6, [0, 1, 2, 3, 4, 5]);
        $make!(tile7, 7, [0, 1, 2, 3, 4, 5, 6]);
        $make!(tile8, 8, [0, 1, 2, 3, 4, 5, 6, 7]);
        $make!(tile9, 9, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        $make!(tile10, 10, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        $make!(tile11, 11, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        $make!(tile12, 12, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        $make!(tile13, 13, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        $make!(tile14, 14, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    };
}

/// Calls the tile of `$size` in `1..=$most`; larger ones are left out of the code.
macro_rules! by_tile {
    ($size:expr, $most:expr, ($($generic:tt)*), $argument:expr) => {
        match $size {
            1 => tile1::<$($generic)*>($argument),
            2 => tile2::<$($generic)*>($argument),
            3 => tile3::<$($generic)*>($argument),
            4 => tile4::<$($generic)*>($argument),
            5 if $most >= 5 => tile5::<$($generic)*>($argument),
            6 if $most >= 6 => tile6::<$($generic)*>($argument),
            7 if $most >= 7 => tile7::<$($generic)*>($argument),
            8 if $most >= 8 => tile8::<$($generic)*>($argument),
            9 if $most >= 9 => tile9::<$($generic)*>($argument),
            10 if $most >= 10 => tile10::<$($generic)*>($argument),
            11 if $most >= 11 => tile11::<$($generic)*>($argument),
            12 if $most >= 12 => tile12::<$($generic)*>($argument),
            13 if $most >= 13 => tile13::<$($generic)*>($argument),
            14 if $most >= 14 => tile14::<$($generic)*>($argument),
            size => unreachable!("a register tile of {size}"),
        }
    };
}
