//! A convolution by candle's own operations, on any device that candle knows.

use candle_core::{Device, Result, Tensor};
use candle_nn::{Conv2dConfig, Module, ops::leaky_relu};

use super::{Activation, Geometry, Residual};

/// Weights on a device.
#[derive(Debug)]
pub(crate) struct CandleConv {
    layer: candle_nn::Conv2d,
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
        let Geometry { in_channels, out_channels, kernel, stride } = geometry;
        let weight = Tensor::from_vec(weight, (out_channels, in_channels, kernel, kernel), device)?;
        let bias = Tensor::from_vec(bias, out_channels, device)?;
        // An odd kernel's padding is the same before and after the picture.
        let config = Conv2dConfig { padding: geometry.padding(), stride, ..Conv2dConfig::default() };
        Ok(Self { layer: candle_nn::Conv2d::new(weight, Some(bias), config), activation })
    }

    pub(super) fn forward(&self, input: &Tensor, residual: Option<(&Tensor, Residual)>) -> Result<Tensor> {
        let output = self.layer.forward(input)?;
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
            Activation::LeakyRelu(slope) => leaky_relu(&values, f64::from(slope)),
        }
    }
}
