//! The engines that are compared, each in a process of its own that runs when it is told to.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::network::Network;

/// What computes a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// ONNX Runtime
    Onnxruntime,
    /// Sluice
    Sluice,
    /// Sluice with AVX2 only
    SluiceAvx2,
    /// Sluice in bfloat16
    SluiceBf16,
    /// Sluice in 8 bits
    SluiceInt8,
    /// candle's own operations
    Candle,
    /// `OpenVINO` in single precision
    Openvino,
    /// `OpenVINO` in bfloat16
    OpenvinoBf16,
    /// `OpenVINO` in 8 bits, quantized by NNCF
    OpenvinoInt8,
    /// `OpenCV`'s DNN module
    Opencv,
    /// `PyTorch`
    Pytorch,
    /// tract
    Tract,
}

impl Engine {
    /// Every engine, the one that the others are compared with first.
    pub const ALL: [Self; 12] = [
        Self::Onnxruntime,
        Self::Sluice,
        Self::SluiceAvx2,
        Self::Openvino,
        Self::SluiceBf16,
        Self::OpenvinoBf16,
        Self::SluiceInt8,
        Self::OpenvinoInt8,
        Self::Pytorch,
        Self::Opencv,
        Self::Tract,
        Self::Candle,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Onnxruntime => "onnxruntime",
            Self::Sluice => "sluice",
            Self::SluiceAvx2 => "sluice-avx2",
            Self::SluiceBf16 => "sluice-bf16",
            Self::SluiceInt8 => "sluice-int8",
            Self::Candle => "candle",
            Self::Openvino => "openvino",
            Self::OpenvinoBf16 => "openvino-bf16",
            Self::OpenvinoInt8 => "openvino-int8",
            Self::Opencv => "opencv",
            Self::Pytorch => "pytorch",
            Self::Tract => "tract",
        }
    }

    /// Whether it can run on so many threads. tract's package for Python has no way to ask for more than one.
    pub fn runs_on(self, threads: usize) -> bool {
        threads == 1 || self != Self::Tract
    }

    /// Its argument to `turns`, the program for engines in Rust; nothing for those in Python.
    fn turns(self) -> Option<&'static str> {
        match self {
            Self::Sluice | Self::SluiceInt8 => Some("kernels"),
            Self::SluiceBf16 => Some("bf16"),
            Self::SluiceAvx2 => Some("avx2"),
            Self::Candle => Some("candle"),
            _ => None,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The ending of the model file in 8 bits.
pub const INT8: &str = "int8.safetensors";

/// Where the programs and models are.
#[derive(Debug)]
pub struct Place {
    /// Holds the networks' files and the outputs.
    pub directory: PathBuf,
    /// The Python of the peers.
    pub python: PathBuf,
    /// The program `turns`.
    pub turns: PathBuf,
}

impl Place {
    /// A network's file of the given ending.
    pub fn file(&self, network: Network, ending: &str) -> PathBuf {
        self.directory.join(format!("{network}.{ending}"))
    }

    /// The script of the engines in Python.
    pub fn peer(&self) -> PathBuf {
        self.directory.join("peer.py")
    }
}

/// What one engine is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// The network.
    pub network: Network,
    /// Threads.
    pub threads: usize,
    /// Pictures of a run.
    pub batch: usize,
}

/// An engine that waits for its turn.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// The raw outputs of a picture.
    pub outputs: Vec<f32>,
}

impl Process {
    /// Starts the engine and waits until it has run once.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or ends.
    pub fn start(engine: Engine, task: Task, place: &Place) -> Result<Self> {
        let Task { network, threads, batch } = task;
        let target = place.directory.join(format!("{network}.{engine}.output"));
        let mut command = match engine.turns() {
            Some(name) => {
                let mut command = Command::new(&place.turns);
                let model = if engine == Engine::SluiceInt8 { INT8 } else { "safetensors" };
                command.arg(place.file(network, model)).arg(name);
                command
            }
            None => {
                let mut command = Command::new(&place.python);
                command.arg(place.peer()).arg(engine.name()).arg(place.file(network, "onnx"));
                command
            }
        };
        command.args([threads.to_string(), batch.to_string()]).arg(place.file(network, "input")).arg(&target);
        // Engines without an option of their own read these.
        let count = threads.to_string();
        command.env("OMP_NUM_THREADS", &count).env("RAYON_NUM_THREADS", &count);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {engine}"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("{engine} has no pipes");
        };
        let mut process = Self { child, stdin, stdout: BufReader::new(stdout), outputs: Vec::new() };
        process
            .line("ready")
            .with_context(|| format!("{engine} on {network}, {threads} threads, {batch} pictures"))?;
        process.outputs = floats(&target)?;
        Ok(process)
    }

    /// Runs so many times.
    ///
    /// # Errors
    ///
    /// If it ends.
    pub fn turn(&mut self, runs: usize) -> Result<Turn> {
        let before = self.cpu_ms()?;
        writeln!(self.stdin, "{runs}").context("an engine has ended")?;
        self.stdin.flush()?;
        let line = self.line("[")?;
        let wall_ms: Vec<f64> = serde_json::from_str(&line).with_context(|| format!("no times: {line}"))?;
        let cpu_ms = (self.cpu_ms()? - before) / runs.max(1) as f64;
        Ok(Turn { wall_ms, cpu_ms })
    }

    /// Waits until its threads sleep: some look for work for a while after a run, on processors that are the next engine's.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn settle(&self) -> Result<()> {
        const LOOK: Duration = Duration::from_millis(20);
        const LOOKS: usize = 100;
        for _ in 0..LOOKS {
            let before = self.cpu_ms()?;
            std::thread::sleep(LOOK);
            if self.cpu_ms()? - before < 1.0 {
                break;
            }
        }
        Ok(())
    }

    /// The most memory that it ever held, in bytes.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn peak_memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes =
            line.and_then(|line| line.split_whitespace().next()).and_then(|text| text.parse::<u64>().ok());
        Ok(1024 * kilobytes.with_context(|| format!("{path} has no VmHWM"))?)
    }

    /// Time that all its threads have run, in milliseconds.
    fn cpu_ms(&self) -> Result<f64> {
        let path = format!("/proc/{}/task", self.child.id());
        let mut nanoseconds = 0;
        for thread in std::fs::read_dir(&path).with_context(|| format!("cannot read {path}"))? {
            // A thread may end between the two.
            let Ok(text) = std::fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            nanoseconds += text.split(' ').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(nanoseconds as f64 / 1e6)
    }

    /// The next line that begins like this; engines may print others.
    fn line(&mut self, start: &str) -> Result<String> {
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line)? == 0 {
                bail!("it ended: its messages above say why");
            }
            if line.starts_with(start) {
                return Ok(line);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a turn took.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Each run.
    pub wall_ms: Vec<f64>,
    /// A run's share of what all threads ran.
    pub cpu_ms: f64,
}

/// A file of little-endian numbers.
///
/// # Errors
///
/// If it cannot be read.
pub fn floats(path: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_takes_part_and_has_something_that_runs_it() {
        assert_eq!(Engine::ALL.len(), Engine::value_variants().len());
        for engine in Engine::value_variants() {
            assert!(Engine::ALL.contains(engine), "{engine} takes part only when it is asked for");
            let known = include_str!("peer.py").contains(&format!("    \"{engine}\": "));
            assert!(known != engine.turns().is_some(), "{engine} runs in one of peer.py and turns");
            assert_eq!(Engine::from_str(engine.name(), false), Ok(*engine));
        }
    }
}
