//! A convolution by candle's own operations, on any device that candle knows.

use candle_core::{Device, Result, Tensor};

use super::{Activation, Geometry, Residual};

/// Weights on a device.
#[derive(Debug)]
pub(crate) struct CandleConv {
    /// `[out, in, kernel, kernel]`.
    weight: Tensor,
    /// `[1, out, 1, 1]`.
    bias: Tensor,
    geometry: Geometry,
    activation: Activation,
}

impl CandleConv {
    pub(super) fn new(
        geometry: Geometry,
        activation: Activation,
        weight: Vec<f32>,
        bias: Vec<f32>,
        device: &Device,
    ) -> Result<Self> {
        let Geometry { in_channels, out_channels, kernel, .. } = geometry;
        let weight = Tensor::from_vec(weight, (out_channels, in_channels, kernel, kernel), device)?;
        let bias = Tensor::from_vec(bias, (1, out_channels, 1, 1), device)?;
        Ok(Self { weight, bias, geometry, activation })
    }

    pub(super) fn forward(&self, input: &Tensor, residual: Option<(&Tensor, Residual)>) -> Result<Tensor> {
        let Geometry { stride, .. } = self.geometry;
        // An odd kernel's padding is the same before and after the picture.
        let output = input.conv2d(&self.weight, self.geometry.padding(), stride, 1, 1)?;
        let output = output.broadcast_add(&self.bias)?;
        match residual {
            None => self.activate(output),
            Some((residual, Residual::BeforeActivation)) => self.activate((output + residual)?),
            Some((residual, Residual::AfterActivation)) => self.activate(output)? + residual,
        }
    }

    fn activate(&self, values: Tensor) -> Result<Tensor> {
        match self.activation {
            Activation::Identity => Ok(values),
            Activation::Relu => values.relu(),
            Activation::LeakyRelu(slope) => values.maximum(&(&values * f64::from(slope))?),
        }
    }
}
