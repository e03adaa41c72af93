//! Renders construction-site scenes with exact ground truth: training pictures and the demo clip.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use demo_renderer::{clip, dataset, render::Canvas};

/// Renders construction-site scenes with exact ground truth.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Random stills as JPEG files with truth.coco.json, to train and to test detectors on
    Dataset(DatasetArgs),
    /// The scripted demo clip as raw RGB24 frames, with its ground truth
    Clip(ClipArgs),
    /// One random still as PNG, to look at
    Still(StillArgs),
}

#[derive(Debug, Args)]
struct DatasetArgs {
    /// Folder for the pictures and truth.coco.json; made if it is not there
    #[arg(long)]
    out: PathBuf,
    /// Number of pictures
    #[arg(long)]
    count: usize,
    /// Seed: the same seed makes the same pictures
    #[arg(long)]
    seed: u64,
    /// Width of the rendered picture in pixels
    #[arg(long, default_value_t = 1280)]
    width: usize,
    /// Height of the rendered picture in pixels
    #[arg(long, default_value_t = 720)]
    height: usize,
    /// Width of the stored picture in pixels; the height follows
    #[arg(long, default_value_t = 736)]
    store_width: usize,
    /// Best JPEG quality; half of the pictures get down to half of it
    #[arg(long, default_value_t = 92, value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: u8,
    /// Threads [default: all processors]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
}

#[derive(Debug, Args)]
struct ClipArgs {
    /// File for the frames, raw RGB24 one after the other; - for standard output
    #[arg(long)]
    out: PathBuf,
    /// File for the ground truth (COCO, with time_us for each frame)
    #[arg(long)]
    truth: PathBuf,
    /// Seed of sites and looks; the script is fixed
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Width in pixels
    #[arg(long, default_value_t = 1280)]
    width: usize,
    /// Height in pixels
    #[arg(long, default_value_t = 720)]
    height: usize,
    /// Frames a second
    #[arg(long, default_value_t = 25)]
    fps: u32,
    /// Threads [default: all processors]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
}

#[derive(Debug, Args)]
struct StillArgs {
    /// The PNG file
    #[arg(long)]
    out: PathBuf,
    /// Seed
    #[arg(long)]
    seed: u64,
    /// Number of the picture within the seed's dataset
    #[arg(long, default_value_t = 0)]
    number: u64,
    /// Width in pixels
    #[arg(long, default_value_t = 1280)]
    width: usize,
    /// Height in pixels
    #[arg(long, default_value_t = 720)]
    height: usize,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-renderer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Dataset(args) => dataset::make(&dataset::Options {
            folder: args.out,
            count: args.count,
            seed: args.seed,
            width: args.width,
            height: args.height,
            store_width: args.store_width,
            quality: args.quality,
            threads: args.threads,
        }),
        Command::Clip(args) => clip::make(&clip::Options {
            frames: args.out,
            truth: args.truth,
            seed: args.seed,
            width: args.width,
            height: args.height,
            rate: args.fps,
            threads: args.threads,
        }),
        Command::Still(args) => {
            let mut canvas = Canvas::default();
            let (picture, _) = dataset::picture(&mut canvas, args.seed, args.number, args.width, args.height);
            picture.save(&args.out).with_context(|| format!("cannot write {}", args.out.display()))
        }
    }
}
