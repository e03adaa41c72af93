//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::{Detector, DeviceKind, InstructionSet, LoadError, LoadOptions, Precision};

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed (with several pictures: at least one of them), 2 bad usage, 130 stopped by Ctrl-C.
Files are written under another name and renamed when they are whole: what is there is whole.";

/// Finds objects in pictures and videos with a model file.
#[derive(Debug, clap::Parser)]
#[command(name = "detect", version, after_help = AFTER_HELP)]
pub struct Options {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Image(ImageOptions),
    Video(VideoOptions),
    Info(InfoOptions),
    Convert(ConvertOptions),
    Evaluate(EvaluateOptions),
    Bench(BenchOptions),
}

/// Finds the objects in pictures.
#[derive(Debug, clap::Args)]
pub(super) struct ImageOptions {
    /// JPEG, PNG or WebP files.
    #[arg(required = true, value_name = "PICTURE")]
    pub(super) pictures: Vec<PathBuf>,

    /// Writes each picture with its boxes into this directory, as NAME.jpg.
    #[arg(long, value_name = "DIR")]
    pub(super) draw: Option<PathBuf>,

    /// Writes one JSON object a line and picture (docs/schema/detect-image.schema.json).
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) find: FindOptions,
}

/// Finds the objects in the pictures of a video.
#[derive(Debug, clap::Args)]
pub(super) struct VideoOptions {
    /// A video file; what is not Y4M is read by ffmpeg. `-` is Y4M on standard input.
    pub(super) video: PathBuf,

    /// Looks at every Nth picture only, the first included.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) every: u64,

    /// Ends after so many pictures that were looked at.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) frames: Option<u64>,

    /// Writes each picture that was looked at with its boxes into this directory, as 000000.jpg and so on.
    #[arg(long, value_name = "DIR")]
    pub(super) draw: Option<PathBuf>,

    /// Writes one JSON object a line and picture (docs/schema/detect-video.schema.json).
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) find: FindOptions,
}

/// Says what a model file holds.
#[derive(Debug, clap::Args)]
pub(super) struct InfoOptions {
    /// The model file.
    pub(super) model: PathBuf,

    /// Writes JSON (docs/schema/detect-info.schema.json).
    #[arg(long)]
    pub(super) json: bool,
}

/// Writes a model file anew, in Sluice's own safetensors form.
#[derive(Debug, clap::Args)]
pub(super) struct ConvertOptions {
    /// The model file to read.
    #[arg(value_name = "IN")]
    pub(super) source: PathBuf,

    /// The file to write; one that is there is replaced when the new one is whole.
    #[arg(value_name = "OUT.safetensors")]
    pub(super) target: PathBuf,

    /// Stores convolution weights in 16 bits: half the size. Biases and batch norms stay as they are.
    #[arg(long)]
    pub(super) f16: bool,

    /// Stores convolution weights in 8 bits, a quarter of the size, and with them what the layers put out on the pictures in
    /// this directory, so that the model also computes in 8 bits. A few hundred pictures like those that the model will see
    /// are enough.
    #[arg(long, value_name = "PICTURES", conflicts_with = "f16")]
    pub(super) int8: Option<PathBuf>,

    /// The most pictures of the directory that are looked at, evenly spread over their names' order.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..), requires = "int8")]
    pub(super) pictures: u32,

    #[command(flatten)]
    pub(super) pixels: PixelOptions,
}

/// Measures average precision against labelled pictures, as pycocotools does.
#[derive(Debug, clap::Args)]
pub(super) struct EvaluateOptions {
    /// What is in the pictures, in COCO's JSON form.
    #[arg(long, value_name = "COCO.json")]
    pub(super) labels: PathBuf,

    /// The directory that the file names in the labels start from.
    #[arg(value_name = "IMAGES", required_unless_present = "detections")]
    pub(super) images: Option<PathBuf>,

    /// Judges the detections in this file (COCO's list of results) instead of a model's.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["images", "model", "write_detections"])]
    pub(super) detections: Option<PathBuf>,

    /// Writes the model's detections as COCO's list of results.
    #[arg(long, value_name = "FILE")]
    pub(super) write_detections: Option<PathBuf>,

    /// Draws the precision-recall curves at an IoU of 0.5.
    #[arg(long, value_name = "FILE.svg")]
    pub(super) plot: Option<PathBuf>,

    /// Writes JSON (docs/schema/detect-evaluate.schema.json).
    #[arg(long)]
    pub(super) json: bool,

    /// Lowest score of a detection. Average precision is about the order of scores and wants the low ones too, so
    /// the model file's own threshold does not count here.
    #[arg(long, value_name = "0..1", default_value_t = 0.001)]
    pub(super) score_threshold: f32,

    #[command(flatten)]
    pub(super) pixels: PixelOptions,

    /// The model file.
    #[arg(long, value_name = "FILE", required_unless_present = "detections")]
    pub(super) model: Option<PathBuf>,

    #[command(flatten)]
    pub(super) run: RunOptions,
}

/// Times a model on this machine.
#[derive(Debug, clap::Args)]
pub(super) struct BenchOptions {
    /// The picture to look at; by default a made-up one of the size of the network's input.
    #[arg(long, value_name = "PICTURE")]
    pub(super) picture: Option<PathBuf>,

    /// How many times the model runs and is timed.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) runs: u32,

    /// How many times it runs before that, untimed.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(super) warmup: u32,

    /// Pictures that the model takes at once. Of several numbers all are timed, in turns; stages and layers are those of the
    /// first.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1", value_parser = batch)]
    pub(super) batch: Vec<usize>,

    /// Lowest score of a detection, in place of the model file's.
    #[arg(long, value_name = "0..1")]
    pub(super) score_threshold: Option<f32>,

    /// Also times each layer, beside what processor and memory can do at most.
    #[arg(long)]
    pub(super) layers: bool,

    /// Writes JSON (docs/schema/detect-bench.schema.json).
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) pixels: PixelOptions,

    #[command(flatten)]
    pub(super) model: ModelOptions,
}

/// What finds objects, and in how large a picture.
#[derive(Debug, clap::Args)]
pub(super) struct FindOptions {
    #[command(flatten)]
    pub(super) pixels: PixelOptions,

    /// Lowest score of a detection, in place of the model file's.
    #[arg(long, value_name = "0..1")]
    pub(super) score_threshold: Option<f32>,

    #[command(flatten)]
    pub(super) model: ModelOptions,
}

impl FindOptions {
    /// The detector.
    pub(super) fn detector(&self) -> Result<Detector, LoadError> {
        Detector::load(&self.model.path, &self.model.run.load_options(self.score_threshold))
    }
}

/// How large a picture may be.
#[derive(Debug, clap::Args)]
pub(super) struct PixelOptions {
    /// The most pixels that a picture may have.
    #[arg(long, value_name = "PIXELS", default_value_t = 40_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(super) max_pixels: u64,
}

/// Which model, and how it runs.
#[derive(Debug, clap::Args)]
pub(super) struct ModelOptions {
    /// The model file.
    #[arg(long = "model", value_name = "FILE")]
    pub(super) path: PathBuf,

    #[command(flatten)]
    pub(super) run: RunOptions,
}

/// How a model runs.
#[derive(Debug, clap::Args)]
pub(super) struct RunOptions {
    /// Height and width of the network's input in pixels, in place of the model file's; for example 544,544.
    #[arg(long, value_name = "H,W", value_parser = input_shape)]
    input_shape: Option<(usize, usize)>,

    /// Names of the model's classes in their order, in place of the model file's: TensorFlow's graphs have none, nor have Darknet's
    /// files by themselves.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    classes: Option<Vec<String>>,

    /// IoU above which the lower score of two boxes of a class is dropped, in place of the model file's.
    #[arg(long, value_name = "0..1")]
    iou_threshold: Option<f32>,

    /// Threads of the model [default: one a core].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// The processor's vector instructions: avx512, avx2, neon or portable [default: the best that it has].
    #[arg(long, value_name = "NAME")]
    instruction_set: Option<InstructionSet>,

    /// Megabytes that the model's weights may take in memory, as far as that is possible; the more, the faster
    /// [default: 2.3 times the plain weights, at most half of what the control group allows].
    #[arg(long, value_name = "MB")]
    weights_memory: Option<usize>,

    /// How exactly the model computes: f32, bf16 or int8, on a GPU f32, f16 or bf16 [default: int8 where the model file is
    /// made for it, by `convert --int8`, and the processor has an instruction for it; f32 elsewhere].
    #[arg(long, value_name = "NAME")]
    precision: Option<Precision>,

    /// Where the model runs: cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "cpu", value_parser = device)]
    device: DeviceKind,
}

impl RunOptions {
    /// What loading takes.
    pub(super) fn load_options(&self, score_threshold: Option<f32>) -> LoadOptions {
        LoadOptions {
            device: self.device,
            input: self.input_shape,
            classes: self.classes.clone(),
            threads: self.threads,
            instruction_set: self.instruction_set,
            weights_memory: self.weights_memory.map(|megabytes| megabytes.saturating_mul(1_000_000)),
            precision: self.precision,
            score_threshold,
            iou_threshold: self.iou_threshold,
        }
    }

    /// How many threads the model has.
    pub(super) fn threads(&self) -> usize {
        let available = || std::thread::available_parallelism().ok();
        self.threads.or_else(available).map_or(1, NonZeroUsize::get)
    }

    pub(super) fn is_on_processor(&self) -> bool {
        self.device == DeviceKind::Cpu
    }
}

fn input_shape(text: &str) -> Result<(usize, usize), &'static str> {
    let sides = text
        .split_once(',')
        .and_then(|(height, width)| Some((height.trim().parse().ok()?, width.trim().parse().ok()?)));
    sides.ok_or("write HEIGHT,WIDTH, for example 544,544")
}

fn batch(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|batch| (1..=64).contains(batch)).ok_or("write a number of 1 to 64")
}

fn device(text: &str) -> Result<DeviceKind, &'static str> {
    match text.split_once(':') {
        None if text == "cpu" => Some(DeviceKind::Cpu),
        None if text == "cuda" => Some(DeviceKind::Cuda(0)),
        Some(("cuda", index)) => index.parse().ok().map(DeviceKind::Cuda),
        _ => None,
    }
    .ok_or("write cpu, cuda or cuda:N")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn what_is_needed_is_asked_for() {
        for arguments in [
            &["image", "a.jpg"][..],
            &["image", "--model", "m"],
            &["evaluate", "--labels", "l", "dir"],
            &["evaluate", "--labels", "l", "--model", "m"],
            &["evaluate", "--labels", "l", "--detections", "d", "--model", "m"],
            &["bench", "--model", "m", "--runs", "0"],
            &["bench", "--model", "m", "--batch", "1,65"],
            &["bench", "--model", "m", "--device", "tpu"],
            &["bench", "--model", "m", "--instruction-set", "mmx"],
            &["bench", "--model", "m", "--input-shape", "544"],
        ] {
            let all = ["detect"].iter().chain(arguments);
            assert_eq!(Options::try_parse_from(all).unwrap_err().exit_code(), 2, "{arguments:?}");
        }
        for arguments in [
            &["image", "a.jpg", "b.png", "--model", "m", "--input-shape", "416, 736"][..],
            &["evaluate", "--labels", "l", "--detections", "d"],
            &["evaluate", "--labels", "l", "dir", "--model", "m", "--device", "cuda:1"],
            &["bench", "--model", "m", "--batch", "1,2,64"],
        ] {
            Options::try_parse_from(["detect"].iter().chain(arguments)).unwrap();
        }
    }
}
