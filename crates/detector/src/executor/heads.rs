//! What comes out of a network, wherever it lies.

/// One output of a network for one picture: a value for each channel, row and column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(super) values: &'a [f32],
    /// Neighbouring channels that lie side by side in a pixel.
    pub(super) lanes: usize,
    /// From a block of so many channels to the next.
    pub(super) block: usize,
    /// From a row to the next.
    pub(super) row: usize,
    /// From the start to the first pixel.
    pub(super) first: usize,
    pub(super) channels: usize,
    /// Rows and columns.
    pub(super) size: (usize, usize),
}

impl<'a> Head<'a> {
    /// A head of plain values in the order channel, row, column.
    pub(crate) fn plain(values: &'a [f32], channels: usize, size: (usize, usize)) -> Self {
        Self { values, lanes: 1, block: size.0 * size.1, row: size.1, first: 0, channels, size }
    }

    /// Channels.
    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    /// Rows and columns.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.size
    }

    /// All values, in the order channel, row, column.
    #[cfg(any(feature = "detect", test))]
    pub(crate) fn values(&self) -> impl Iterator<Item = f32> + use<'a> {
        let (head, (rows, columns)) = (*self, self.size);
        (0..head.channels).flat_map(move |channel| {
            let plane = head.plane(channel);
            (0..rows).flat_map(move |row| (0..columns).map(move |column| plane.get(row, column)))
        })
    }

    /// The values of a channel.
    pub(crate) fn plane(&self, channel: usize) -> Plane<'a> {
        let first = self.first + channel / self.lanes * self.block + channel % self.lanes;
        Plane { values: &self.values[first..], row: self.row, lanes: self.lanes }
    }

    /// The values of a row and column from a channel on, in the order of the channels.
    pub(crate) fn pixel(
        &self,
        channel: usize,
        row: usize,
        column: usize,
    ) -> impl Iterator<Item = f32> + use<'a> {
        let Self { values, lanes, block: step, .. } = *self;
        let mut block = self.first + row * self.row + column * lanes + channel / lanes * step;
        let mut lane = channel % lanes;
        let next = move || {
            let value = values.get(block + lane).copied();
            lane += 1;
            if lane == lanes {
                (block, lane) = (block + step, 0);
            }
            value
        };
        std::iter::from_fn(next).take(self.channels - channel)
    }
}

/// One channel of a [`Head`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plane<'a> {
    values: &'a [f32],
    row: usize,
    lanes: usize,
}

impl Plane<'_> {
    /// The value at a row and column.
    ///
    /// # Panics
    ///
    /// If there is no such row or column.
    pub(crate) fn get(&self, row: usize, column: usize) -> f32 {
        self.values[row * self.row + column * self.lanes]
    }
}

/// The outputs of a batch.
pub(crate) trait Outputs {
    /// The output of this position for a picture of the batch.
    fn head(&self, picture: usize, output: usize) -> Head<'_>;
}

/// Where a picture goes before it is judged: rows of RGB values in `0..=1`.
#[derive(Debug)]
pub(crate) struct PictureMut<'a> {
    values: &'a mut [f32],
    row: usize,
    size: (usize, usize),
    /// Where pixels are bytes, room for a row on its way.
    bytes: Option<&'a mut ByteRow>,
}

impl<'a> PictureMut<'a> {
    /// A picture of the given height and width whose rows are `row` values apart.
    pub(crate) fn new(values: &'a mut [f32], row: usize, size: (usize, usize)) -> Self {
        Self { values, row, size, bytes: None }
    }

    /// A picture whose pixels are bytes for red, green, blue and one of zero, in the room of a value.
    pub(super) fn of_bytes(
        values: &'a mut [f32],
        row: usize,
        size: (usize, usize),
        bytes: &'a mut ByteRow,
    ) -> Self {
        Self { values, row, size, bytes: Some(bytes) }
    }

    /// Height and width in pixels.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Has `write` write each row's values, of which it is given the number and the place.
    pub(crate) fn each_row(&mut self, mut write: impl FnMut(usize, &mut [f32])) {
        let (height, width) = self.size;
        for (y, row) in self.values.chunks_mut(self.row).take(height).enumerate() {
            match &mut self.bytes {
                None => write(y, &mut row[..3 * width]),
                Some(bytes) => {
                    write(y, &mut bytes.numbers);
                    bytes.store(&mut row[..width]);
                }
            }
        }
    }
}

/// A row of pixels on its way from numbers to bytes.
#[derive(Debug, Default)]
pub(super) struct ByteRow {
    numbers: Vec<f32>,
    bytes: Vec<u8>,
}

impl ByteRow {
    /// For rows of so many pixels.
    pub(super) fn new(width: usize) -> Self {
        Self { numbers: vec![0.0; 3 * width], bytes: vec![0; 3 * width] }
    }

    /// The nearest bytes to 255 times the numbers.
    fn store(&mut self, row: &mut [f32]) {
        // 2^23, after which a whole number's lowest bits are those of the sum.
        const WHOLE: f32 = 8_388_608.0;
        for (byte, number) in self.bytes.iter_mut().zip(&self.numbers) {
            *byte = (number.clamp(0.0, 1.0) * 255.0 + WHOLE).to_bits() as u8;
        }
        for (pixel, bytes) in row.iter_mut().zip(self.bytes.chunks_exact(3)) {
            *pixel = f32::from_bits(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], 0]));
        }
    }
}
