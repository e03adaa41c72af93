//! A daemon as a child process with a tiny random model, and raw HTTP to speak to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use protocol::problem::Problem;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Writes the model that the tests use.
pub(crate) fn write_model(path: &Path) {
    let family = detector::Family::Yolov3Resnet18;
    detector::testing::write_random_model(path, family, 0.125, &["person", "helmet"], (96, 96), 7).unwrap();
}

/// The daemon's command, without arguments or an environment that could stand for some.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloud-daemon"));
    // Nothing of the tester's that would set an option, or say where a store or a proxy is.
    command.env_clear();
    command
}

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Daemon {
    /// Starts one with a model and waits until it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("model.safetensors");
        write_model(&model);
        let daemon = Self::start_with(directory, &model, arguments);
        daemon.until_ready();
        daemon
    }

    /// Waits until it has a model.
    pub(crate) fn until_ready(&self) {
        let begun = Instant::now();
        while get(self.address, "/readyz").status != 200 {
            assert!(begun.elapsed() < PATIENCE, "not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts one with `model` and waits until it listens.
    pub(crate) fn start_with(directory: tempfile::TempDir, model: &Path, arguments: &[&str]) -> Self {
        let mut command = command();
        command.arg("--model").arg(model).args(arguments);
        Self::run(directory, &mut command)
    }

    /// Starts what `command` says, on any free port, and waits until it listens.
    pub(crate) fn run(directory: tempfile::TempDir, command: &mut Command) -> Self {
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening http://").unwrap().parse().unwrap();
        Self { child, address, _directory: directory }
    }

    /// The most memory that it has held so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let (signal, child) = (format!("-{name}"), self.child.id().to_string());
        assert!(Command::new("kill").args([signal, child]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The problem in it, which must be one in every respect.
    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        assert_eq!(problem.request_id.as_deref(), self.header("x-request-id"));
        problem
    }
}

/// Sends the bytes of a request, or as many as the server takes, and reads the reply.
pub(crate) fn exchange(address: SocketAddr, head: &str, body: &[u8]) -> Reply {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A server that has refused may stop reading.
            let _ = (&stream).write_all(head.as_bytes()).and_then(|()| (&stream).write_all(body));
        });
        read_reply(&stream)
    })
}

/// Reads a reply whose length is given.
pub(crate) fn read_reply(stream: &TcpStream) -> Reply {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let status = line().split(' ').nth(1).expect("a status line").parse().unwrap();
    let mut headers = Vec::new();
    loop {
        let line = line();
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut reply = Reply { status, headers, body: Vec::new() };
    let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
    reply.body.resize(length, 0);
    reader.read_exact(&mut reply.body).unwrap();
    reply
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Reply {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"), b"")
}

/// `POST /infer` with further headers, each ending in `\r\n`.
pub(crate) fn infer(address: SocketAddr, headers: &str, body: &[u8]) -> Reply {
    let length = body.len();
    let head = format!(
        "POST /infer HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    exchange(address, &head, body)
}

/// A colourful picture.
pub(crate) fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([(x * 7 + y) as u8, (y * 5) as u8, ((x / 16 + y / 16) % 2 * 200) as u8])
    })
}

pub(crate) fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, 85).encode_image(&picture(width, height)).unwrap();
    file
}
