//! The command line and the environment, and what they resolve to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::Arc;

use clap::CommandFactory;
use clap::error::ErrorKind;
use detector::{DeviceKind, LoadOptions, Precision};
use model_source::SourceOptions;

use crate::server::Settings;

/// Answers POST /infer with what the big model finds in a picture.
///
/// Listens at once; GET /readyz is 200 when the model is loaded and has run. The first line on standard output is
/// `listening http://ADDR:PORT`; logs go to standard error (RUST_LOG sets the level). A model that
/// changes where it is takes the old one's place; SIGHUP has it looked for at once. Exit codes: 0 stopped by
/// SIGINT or SIGTERM, 1 failed, 2 bad usage.
#[derive(Debug, Clone, clap::Parser)]
#[command(version)]
pub struct Options {
    #[command(flatten)]
    model: SourceOptions,

    /// Address and port to listen on; port 0 takes any free one [default: 0.0.0.0:5000].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,

    /// The address to listen on, if --listen is not given.
    #[arg(
        long,
        value_name = "ADDR",
        env = "BIG_MODEL_BIND_IP",
        default_value = "",
        hide_default_value = true
    )]
    bind_ip: Setting<IpAddr>,

    /// The port to listen on, if --listen is not given.
    #[arg(
        long,
        value_name = "PORT",
        env = "BIG_MODEL_BIND_PORT",
        default_value = "",
        hide_default_value = true
    )]
    bind_port: Setting<u16>,

    /// Height and width of the network's input in pixels, in place of the model file's; for example 544,544.
    #[arg(long, value_name = "H,W", env = "input_shape", default_value = "", hide_default_value = true)]
    input_shape: Setting<InputShape>,

    /// Names of the model's classes in their order, in place of the model file's: TensorFlow's graphs have none.
    #[arg(long, value_name = "NAME,…", env = "CLASSES", value_delimiter = ',')]
    classes: Vec<String>,

    /// Threads of the model [default: one a core].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// Megabytes that the model's weights may take in memory, as far as that is possible; the more, the faster [default:
    /// 2.3 times the plain weights, at most half of what the control group allows].
    #[arg(long, value_name = "MB")]
    weights_memory: Option<usize>,

    /// How exactly the model computes: f32, bf16 or int8, on a GPU f32, f16 or bf16 [default: int8 where the model file is
    /// made for it, by `detect convert --int8`, and the processor has an instruction for it; f32 elsewhere].
    #[arg(long, value_name = "NAME")]
    precision: Option<Precision>,

    /// Where the model runs: cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: Device,

    /// The largest body; with B, KiB, MiB or GiB.
    #[arg(long, value_name = "SIZE", default_value = "16MiB")]
    max_body: ByteSize,

    /// The most pixels that a picture may have.
    #[arg(long, value_name = "PIXELS", default_value = "40000000", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    max_pixels: u64,

    /// How many pictures may wait for the model; further ones are refused.
    #[arg(long, value_name = "N", default_value = "32", value_parser = clap::value_parser!(u16).range(1..=4096))]
    queue: u16,

    /// The most waiting pictures that the model takes at once; fewer where more save no time, which is measured when it is
    /// loaded.
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u16).range(1..=64))]
    batch: u16,

    /// How logs are written.
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// Ask the daemon that runs with the same address whether it is well, and do nothing else: exit code 0 if it is, 1 if
    /// not. For health checks of containers.
    #[arg(long)]
    pub health: bool,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Options {
    /// Where to listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let ip = self.bind_ip.0.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        self.listen.unwrap_or(SocketAddr::new(ip, self.bind_port.0.unwrap_or(5000)))
    }

    /// What the options come to.
    ///
    /// # Errors
    ///
    /// What is missing, as clap says it of other options.
    pub fn settings(&self) -> Result<Settings, clap::Error> {
        let missing = || {
            Self::command().error(
                ErrorKind::MissingRequiredArgument,
                "no model: give --model (or the environment variable MODEL_URL)",
            )
        };
        let count = |n: u16| NonZeroUsize::new(n.into()).unwrap_or(NonZeroUsize::MIN);
        Ok(Settings {
            listen: self.address(),
            model: Arc::new(self.model.source().ok_or_else(missing)?),
            load: LoadOptions {
                device: self.device.0,
                input: self.input_shape.0.map(|shape| (shape.height, shape.width)),
                threads: self.threads,
                precision: self.precision,
                weights_memory: self.weights_memory.map(|megabytes| megabytes.saturating_mul(1_000_000)),
                classes: Some(self.classes.clone()).filter(|names| names.iter().any(|name| !name.is_empty())),
                ..LoadOptions::default()
            },
            max_body: self.max_body.0,
            max_pixels: self.max_pixels,
            queue: count(self.queue),
            batch: count(self.batch),
        })
    }
}

/// A value that is unset when it is empty, as environment variables in container templates often are.
#[derive(Debug, Clone, Copy)]
struct Setting<T>(Option<T>);

impl<T: FromStr> FromStr for Setting<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Ok(Self(None)) } else { text.parse().map(|value| Self(Some(value))) }
    }
}

/// The network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct InputShape {
    height: usize,
    width: usize,
}

impl FromStr for InputShape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text
            .split_once(',')
            .and_then(|(height, width)| Some((height.trim().parse().ok()?, width.trim().parse().ok()?)));
        let usable = |side: usize| (32..=4096).contains(&side) && side.is_multiple_of(32);
        match parsed {
            Some((height, width)) if usable(height) && usable(width) => Ok(Self { height, width }),
            _ => Err("write HEIGHT,WIDTH, both multiples of 32 from 32 to 4096, for example 544,544".into()),
        }
    }
}

/// Where the model runs.
#[derive(Debug, Clone, Copy)]
struct Device(DeviceKind);

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let kind = match text.split_once(':') {
            None if text == "cpu" => Some(DeviceKind::Cpu),
            None if text == "cuda" => Some(DeviceKind::Cuda(0)),
            Some(("cuda", index)) => index.parse().ok().map(DeviceKind::Cuda),
            _ => None,
        };
        kind.map(Self).ok_or_else(|| "write cpu, cuda or cuda:N".into())
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ByteSize(usize);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.chars().take_while(char::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim() {
            "" | "B" => Some(1),
            "KiB" => Some(1 << 10),
            "MiB" => Some(1 << 20),
            "GiB" => Some(1 << 30),
            _ => None,
        };
        factor
            .and_then(|factor| number.parse::<usize>().ok()?.checked_mul(factor))
            .filter(|bytes| (1..=1 << 30).contains(bytes))
            .map(Self)
            .ok_or_else(|| "write a number with B, KiB, MiB or GiB, up to 1GiB, for example 16MiB".into())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn shapes() {
        assert_eq!("416,736".parse(), Ok(InputShape { height: 416, width: 736 }));
        assert_eq!(" 32, 64 ".parse(), Ok(InputShape { height: 32, width: 64 }));
        for text in ["416", "416,", "416,735", "0,0", "416x736", "416,736,3", "8192,32"] {
            assert!(text.parse::<InputShape>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!("16MiB".parse(), Ok(ByteSize(16 << 20)));
        assert_eq!("100".parse(), Ok(ByteSize(100)));
        assert_eq!("1 KiB".parse(), Ok(ByteSize(1024)));
        for text in ["", "MiB", "0", "1.5MiB", "-1", "2GiB", "16MB", "99999999999999999999GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn where_to_listen() {
        let listen = |arguments: &[&str]| {
            let all = ["cloud-daemon", "--model", "m"].iter().chain(arguments);
            Options::try_parse_from(all).unwrap().settings().unwrap().listen.to_string()
        };
        assert_eq!(listen(&[]), "0.0.0.0:5000");
        assert_eq!(listen(&["--bind-port", "6000", "--bind-ip", ""]), "0.0.0.0:6000");
        assert_eq!(listen(&["--bind-ip", "::1"]), "[::1]:5000");
        assert_eq!(listen(&["--bind-ip", "::1", "--listen", "127.0.0.1:0"]), "127.0.0.1:0");
    }
}
