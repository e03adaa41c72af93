//! How large a graph may be that a model file writes out.

/// Most layers.
pub(crate) const MAX_LAYERS: usize = 4096;
/// Most channels of a convolution.
pub(crate) const MAX_CHANNELS: usize = 16_384;
/// Most channels of several layers together.
pub(crate) const MAX_JOINED: usize = 8 * MAX_CHANNELS;
/// Largest kernel, window or stride in pixels.
pub(crate) const MAX_REACH: usize = 63;
/// Most doublings of height and width between the picture and a layer; keeps sizes far from overflow.
pub(crate) const MAX_DOUBLINGS: u32 = 8;
/// Longest name of a convolution, in bytes.
pub(crate) const MAX_NAME: usize = 256;
/// Most pixels that attention looks at: its time grows with their square.
pub(crate) const MAX_ATTENDED: usize = 16_384;
