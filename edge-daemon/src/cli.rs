//! The command line: flags, and the environment variables that Sedna's users know.

mod environment;

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use detector::{DeviceKind, Precision};
use model_source::SourceOptions;

use crate::{duration, http_url::HttpUrl, source::RtspTransport, uplink::Size};

const AFTER_HELP: &str = "\
Environment variables are those of KubeEdge Sedna's helmet detection example, in lower or upper case; an empty one \
counts as unset, and a flag wins.

A model that changes where it is takes the old one's place; SIGHUP has it looked for at once.

Exit codes: 0 done, 1 failed, 2 bad usage, 130 stopped at once by a second signal.";

/// Watches video with a little model and sends the frames it is unsure of to a big one in the cloud.
#[derive(Debug, Parser)]
#[command(name = "edge-daemon", version, after_help = AFTER_HELP)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What else it can do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to run.
    #[command(flatten)]
    pub run: RunArgs,
    /// Form of the log on standard error; RUST_LOG sets how much (default info).
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log_format: LogFormat,
}

/// What else the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Judge the results of a run against ground truth: average precision at IoU 0.5, as JSON.
    Score(ScoreArgs),
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Flags of a run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Video to watch: rtsp://…, a file, v4l2:///dev/video0, or any other URL that GStreamer opens. A file ends
    /// at its end (see --loop); everything else is opened again for ever.
    #[arg(long, env = "video_url", value_name = "URL|FILE")]
    pub video_url: Option<String>,
    /// Where the little model is.
    #[command(flatten)]
    pub model: SourceOptions,
    /// Height and width of the little model's input, in place of the model file's.
    #[arg(long, env = "input_shape", value_name = "H,W", value_parser = input_shape)]
    pub input_shape: Option<(usize, usize)>,
    /// Names of the little model's classes in their order, in place of the model file's: TensorFlow's graphs have none.
    #[arg(long, env = "CLASSES", value_name = "NAME,…", value_delimiter = ',')]
    pub classes: Vec<String>,
    /// Where the little model runs: cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu", value_parser = device)]
    pub device: DeviceKind,
    /// Threads of the little model (default: all cores).
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Megabytes that the little model's weights may take in memory, as far as that is possible; the more, the faster
    /// (default: 2.3 times the plain weights, at most half of what the control group allows).
    #[arg(long, value_name = "MB")]
    pub weights_memory: Option<usize>,
    /// How exactly the little model computes: f32, bf16 or int8, on a GPU f32, f16 or bf16 (default: int8 where the model
    /// file is made for it, by `detect convert --int8`, and the processor has an instruction for it; f32 elsewhere).
    #[arg(long, value_name = "NAME")]
    pub precision: Option<Precision>,

    /// The cloud, for example http://10.0.0.1:5000; in place of --big-model-ip and --big-model-port.
    #[arg(long, value_name = "URL")]
    pub cloud_url: Option<HttpUrl>,
    /// The cloud's address.
    #[arg(long, env = "BIG_MODEL_IP", value_name = "HOST")]
    pub big_model_ip: Option<String>,
    /// The cloud's port.
    #[arg(long, env = "BIG_MODEL_PORT", value_name = "PORT", default_value_t = 5000)]
    pub big_model_port: u16,
    /// Address of a second tier; accepted for Sedna's sake and not used yet.
    #[arg(long, env = "SUPER_BIG_MODEL_IP", value_name = "HOST", hide = true)]
    pub super_big_model_ip: Option<String>,

    /// Hard-example mining: IBT, Threshold, Random, CloudOnly or EdgeOnly. (Without HEM_NAME, Sedna never asks the
    /// cloud; that is EdgeOnly here.)
    #[arg(long, env = "HEM_NAME", value_name = "NAME", default_value = "IBT")]
    pub hem_name: String,
    /// Parameters of the mining as Sedna's JSON list, for example
    /// [{"key":"threshold_img","value":"0.9"},{"key":"threshold_box","value":"0.9"}].
    #[arg(long, env = "HEM_PARAMETERS", value_name = "JSON", default_value = "null")]
    pub hem_parameters: String,

    /// How long after its capture an answer for a frame is still wanted.
    #[arg(long, env = "INFERENCE_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = duration::parse_positive)]
    pub deadline: Duration,
    /// Hard frames that may wait for the uplink. The newest is sent next; when there is no room, the oldest gives
    /// way.
    #[arg(long, value_name = "N", default_value = "16")]
    pub queue: NonZeroUsize,
    /// Uploads on the wire at a time.
    #[arg(long, value_name = "N", default_value = "1")]
    pub uploads: NonZeroUsize,
    /// Largest size of an uploaded picture (default: the cloud model's input size, 544x544 until it is known).
    #[arg(long, value_name = "WxH")]
    pub upload_size: Option<Size>,
    /// JPEG quality of uploads. At 70 a busy picture of 544x306 is about 16 kB, 2 s at 64kbit.
    #[arg(long, value_name = "1-100", default_value_t = 70, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub upload_quality: u8,
    /// How long an upload on the wire may go on after a stop.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    pub drain: Duration,

    /// Directory for results.jsonl and the pictures; an earlier run's results there are continued (default: the
    /// directory above --all-examples-output if that is given, else ./output).
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Directory for a picture of every frame, in place of OUT/all_examples_inference_output.
    #[arg(long, env = "all_examples_inference_output", value_name = "DIR")]
    pub all_examples_output: Option<PathBuf>,
    /// Directory for hard frames with the edge's boxes, in place of OUT/hard_example_edge_inference_output.
    #[arg(long, env = "hard_example_edge_inference_output", value_name = "DIR")]
    pub hard_edge_output: Option<PathBuf>,
    /// Directory for hard frames with the cloud's boxes, in place of OUT/hard_example_cloud_inference_output.
    #[arg(long, env = "hard_example_cloud_inference_output", value_name = "DIR")]
    pub hard_cloud_output: Option<PathBuf>,
    /// Newest pictures kept in each of these directories; 0 draws none.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub keep_pictures: usize,

    /// How an RTSP camera sends: auto is UDP, and TCP if nothing comes within 2 s.
    #[arg(long, value_enum, default_value_t = RtspTransport::Auto)]
    pub rtsp_transport: RtspTransport,
    /// How long RTP packets may wait for late ones; more for networks that reorder.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = duration::parse)]
    pub rtsp_latency: Duration,
    /// A camera without a frame for this long is opened again.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse_positive)]
    pub stall: Duration,
    /// Read a file as fast as it is judged and lose no frame, instead of at its own speed; the uplink then makes
    /// the little model wait rather than give up frames, and the queue is emptied at the end.
    #[arg(long)]
    pub unpaced: bool,
    /// Begin a file again at its end, as Sedna always does.
    #[arg(long = "loop")]
    pub repeat: bool,

    /// Stop after this time.
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive)]
    pub duration: Option<Duration>,
    /// Serve /healthz, /readyz and /metrics (Prometheus) on this address.
    #[arg(long, env = "SLUICE_LISTEN", value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Ask the daemon that runs with the same --listen whether it is well, and do nothing else: exit code 0 if it is, 1 if
    /// not. For health checks of containers.
    #[arg(long, requires = "listen")]
    pub health: bool,
    /// Print the counters as a line of JSON each second on standard output, and a last one at the end.
    #[arg(long)]
    pub status_json: bool,

    /// Report to Sedna's local controller, for example http://127.0.0.1:9100.
    #[arg(long, env = "LC_SERVER", value_name = "URL")]
    pub lc_server: Option<String>,
    /// How often to report.
    #[arg(long, env = "LC_PERIOD", value_name = "TIME", default_value = "30s", value_parser = duration::parse_positive)]
    pub lc_period: Duration,
    /// This worker's name in reports.
    #[arg(long, env = "WORKER_NAME", default_value = "edge-daemon", hide = true)]
    pub worker_name: String,
    /// The namespace in reports.
    #[arg(long, env = "NAMESPACE", default_value = "default", hide = true)]
    pub namespace: String,
    /// The joint inference service's name in reports.
    #[arg(long, env = "SERVICE_NAME", default_value = "sedna", hide = true)]
    pub service_name: String,
}

/// Flags of `score`.
#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// results.jsonl of a run.
    #[arg(long, value_name = "FILE")]
    pub results: PathBuf,
    /// Ground truth in COCO's JSON form; its images have time_us, their time in the video.
    #[arg(long, value_name = "FILE")]
    pub truth: PathBuf,
    /// The video that was watched.
    #[arg(long, value_name = "FILE")]
    pub video: PathBuf,
    /// The big model's file, to be run on the same frames as they are in the video.
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// Where the big model runs: cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu", value_parser = device)]
    pub device: DeviceKind,
    /// Threads of the big model (default: all cores).
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

fn input_shape(text: &str) -> Result<(usize, usize), String> {
    let sides =
        text.split_once(',').and_then(|(h, w)| Some((h.trim().parse().ok()?, w.trim().parse().ok()?)));
    sides
        .filter(|(height, width): &(usize, usize)| {
            [height, width].iter().all(|side| **side > 0 && **side <= 4096 && **side % 32 == 0)
        })
        .ok_or_else(|| {
            "must be HEIGHT,WIDTH in pixels, multiples of 32 up to 4096, for example 416,736".to_owned()
        })
}

fn device(text: &str) -> Result<DeviceKind, String> {
    match text.split_once(':') {
        None if text == "cpu" => Ok(DeviceKind::Cpu),
        None if text == "cuda" => Ok(DeviceKind::Cuda(0)),
        Some(("cuda", index)) => {
            index.parse().map(DeviceKind::Cuda).map_err(|_| "must be cpu, cuda or cuda:N".to_owned())
        }
        _ => Err("must be cpu, cuda or cuda:N".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn shapes_and_devices() {
        assert_eq!(input_shape("416,736"), Ok((416, 736)));
        for text in ["", "416", "416x736", "0,32", "415,736", "-32,32"] {
            assert!(input_shape(text).is_err(), "{text}");
        }
        assert_eq!(device("cuda:1"), Ok(DeviceKind::Cuda(1)));
        assert!(device("gpu").is_err());
    }

    #[test]
    fn a_subcommand_needs_no_flags_of_a_run() {
        let cli = Cli::try_parse_from([
            "edge-daemon",
            "score",
            "--results",
            "a",
            "--truth",
            "b",
            "--video",
            "c",
            "--model",
            "d",
        ])
        .unwrap();
        assert!(matches!(cli.command, Some(Command::Score(_))));
    }
}
