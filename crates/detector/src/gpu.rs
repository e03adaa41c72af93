//! The NVIDIA GPUs of this machine.

use candle_core::Device;

use crate::precision::Precision;

/// Why a GPU cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// This build knows nothing of GPUs.
    #[error(
        "this program was built without CUDA; run on the processor, or build it with `cargo build --features cuda`"
    )]
    NotBuilt,
    /// There is no GPU, or no driver for it.
    #[error("CUDA finds none ({0}); see what `nvidia-smi` says, or run on the processor")]
    None(String),
    /// There are others than that one.
    #[error("CUDA finds {count} here, numbered from 0; choose one of those, or run on the processor")]
    Index {
        /// How many there are.
        count: usize,
    },
    /// It is too old for a precision.
    #[error("{name} has compute capability {found}, and {precision} needs {needed}; take f16 or f32")]
    Precision {
        /// The GPU's model.
        name: String,
        /// Its compute capability.
        found: Capability,
        /// What is asked for.
        precision: Precision,
        /// The compute capability from which on GPUs have it.
        needed: Capability,
    },
    /// It does not run what this build has for GPUs.
    #[error(
        "{name} does not run this build's kernels ({source}); build with CUDA_COMPUTE_CAP={capability:#}, its compute \
         capability, and a toolkit no newer than the driver"
    )]
    Kernels {
        /// The GPU's model.
        name: String,
        /// Its compute capability.
        capability: Capability,
        /// What CUDA said.
        source: candle_core::Error,
    },
    /// It fails.
    #[error("it fails: {0}; see what `nvidia-smi` says, or run on the processor")]
    Failed(candle_core::Error),
}

/// What a GPU can do, by NVIDIA's numbers: 8.0, or 80 in the alternate form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capability {
    /// The generation.
    pub major: i32,
    /// Within it.
    pub minor: i32,
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { major, minor } = self;
        if f.alternate() { write!(f, "{major}{minor}") } else { write!(f, "{major}.{minor}") }
    }
}

/// A GPU.
#[derive(Debug)]
pub(crate) struct Gpu {
    /// Its model, such as `NVIDIA L4`.
    pub(crate) name: String,
    /// The way to it.
    pub(crate) device: Device,
}

#[cfg(not(feature = "cuda"))]
impl Gpu {
    /// There is none for this build.
    pub(crate) fn open(_: usize, _: Precision) -> Result<Self, GpuError> {
        Err(GpuError::NotBuilt)
    }
}

#[cfg(feature = "cuda")]
impl Gpu {
    /// The GPU of this index, which has been seen to compute in such a precision.
    ///
    /// # Errors
    ///
    /// If there is none, it lacks the precision, or does not run this build's kernels.
    pub(crate) fn open(index: usize, precision: Precision) -> Result<Self, GpuError> {
        use candle_core::cuda_backend::WrapErr;
        use candle_core::cuda_backend::cudarc::driver::CudaContext;

        let count = CudaContext::device_count().map_err(none)?;
        let count = usize::try_from(count).unwrap_or_default();
        if count == 0 {
            return Err(GpuError::None("0 devices".into()));
        }
        if index >= count {
            return Err(GpuError::Index { count });
        }
        let device = Device::new_cuda(index).map_err(GpuError::Failed)?;
        let stream = device.as_cuda_device().map_err(GpuError::Failed)?.cuda_stream();
        let name = stream.context().name().w().map_err(GpuError::Failed)?;
        let (major, minor) = stream.context().compute_capability().w().map_err(GpuError::Failed)?;
        let found = Capability { major, minor };
        // candle has kernels for bfloat16 from here on.
        let needed = Capability { major: 8, minor: 0 };
        if precision == Precision::Bf16 && found < needed {
            return Err(GpuError::Precision { name, found, precision, needed });
        }
        match computes(&device, precision) {
            Ok(()) => Ok(Self { name, device }),
            Err(source) => Err(GpuError::Kernels { name, capability: found, source }),
        }
    }
}

/// Without a device or a driver, CUDA does not even start.
#[cfg(feature = "cuda")]
fn none(error: candle_core::cuda_backend::cudarc::driver::DriverError) -> GpuError {
    let said = error.error_string().map(|said| said.to_string_lossy().into_owned());
    GpuError::None(said.unwrap_or_else(|_| error.to_string()))
}

/// Whether a device runs one of candle's kernels, which it loads with all others of its kind.
#[cfg(feature = "cuda")]
fn computes(device: &Device, precision: Precision) -> candle_core::Result<()> {
    let number = candle_core::Tensor::new(&[1f32], device)?.to_dtype(precision.dtype())?;
    number.affine(2.0, 1.0)?.to_dtype(candle_core::DType::F32)?.to_vec1::<f32>()?;
    Ok(())
}
