//! Asks a server on this machine whether it is well.
//!
//! A container's health check is a program inside the container, and images without a shell have no `curl`: each daemon
//! is its own check, by its flag `--health`. One connection, one request, one time limit for all of it; plain sockets
//! and nothing else, as a check that runs every few seconds shall cost nothing.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::{Duration, Instant},
};

/// How long a server may take for its whole answer.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// How much of an answer is read: its head and a line of its body.
const ANSWER_BYTES: usize = 4096;

/// Why a server is not well.
#[derive(Debug, thiserror::Error)]
pub enum Unwell {
    /// No connection.
    #[error("nobody answers on {0} ({1}): is the daemon running, and was it given the same address?")]
    NoConnection(SocketAddr, io::Error),
    /// A connection, but no answer in time, or half of one.
    #[error("{0} took the connection and gave no answer in time: {1}")]
    NoAnswer(SocketAddr, io::Error),
    /// An answer that is no word of the protocol.
    #[error("{0} answers with something else than {1}: another server has this port")]
    Foreign(SocketAddr, &'static str),
    /// An answer that says no.
    #[error("{address} is not well: {status} {text}")]
    Refused {
        /// Who was asked.
        address: SocketAddr,
        /// The status code.
        status: u16,
        /// The first line of what the server says about it.
        text: String,
    },
}

/// A question, and how its answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question<'a> {
    /// `GET` of this path over HTTP/1.1.
    Http(&'a str),
    /// `OPTIONS` over RTSP/1.0.
    Rtsp,
}

impl Question<'_> {
    fn text(self, address: SocketAddr) -> String {
        match self {
            Self::Http(path) => {
                format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
            }
            Self::Rtsp => format!("OPTIONS rtsp://{address}/ RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
        }
    }

    fn protocol(self) -> &'static str {
        match self {
            Self::Http(_) => "HTTP/1.1",
            Self::Rtsp => "RTSP/1.0",
        }
    }
}

/// Where a server that listens on `listen` is reached from this machine: an unspecified address becomes loopback.
#[must_use]
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Asks the server that listens on `listen`; it is well if it answers 2xx within `patience`.
///
/// # Errors
///
/// It is not; the error is one line for people.
pub fn ask(listen: SocketAddr, question: Question<'_>, patience: Duration) -> Result<(), Unwell> {
    let address = reachable(listen);
    let deadline = Instant::now() + patience;
    let mut stream = TcpStream::connect_timeout(&address, patience)
        .map_err(|error| Unwell::NoConnection(address, error))?;
    let answer = exchange(&mut stream, &question.text(address), deadline)
        .map_err(|error| Unwell::NoAnswer(address, error))?;
    let answer = String::from_utf8_lossy(&answer);
    let status = status(&answer, question.protocol()).ok_or(Unwell::Foreign(address, question.protocol()))?;
    if (200..300).contains(&status) {
        return Ok(());
    }
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Err(Unwell::Refused { address, status, text: body.lines().next().unwrap_or_default().to_owned() })
}

/// Asks, says the answer in one line, and gives the exit code of a health check: 0 well, 1 not.
#[must_use]
pub fn check(listen: SocketAddr, question: Question<'_>) -> ExitCode {
    match ask(listen, question, PATIENCE) {
        Ok(()) => {
            println!("{} is well", reachable(listen));
            ExitCode::SUCCESS
        }
        Err(unwell) => {
            eprintln!("{unwell}");
            ExitCode::FAILURE
        }
    }
}

/// Sends `question` and reads until the server closes, what was read suffices, or `deadline`.
fn exchange(stream: &mut TcpStream, question: &str, deadline: Instant) -> io::Result<Vec<u8>> {
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    let left = || Some(deadline.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero());
    stream.set_write_timeout(Some(left().ok_or_else(late)?))?;
    stream.write_all(question.as_bytes())?;
    let (mut answer, mut part) = (Vec::new(), [0; 512]);
    loop {
        stream.set_read_timeout(Some(left().ok_or_else(late)?))?;
        let count = match stream.read(&mut part) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(late()),
            Err(error) => return Err(error),
        };
        answer.extend_from_slice(&part[..count]);
        if count == 0 || answer.len() >= ANSWER_BYTES || is_whole(&answer) {
            return if answer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) };
        }
    }
}

/// Whether an answer needs no more: RTSP servers keep the connection, so its end may not be waited for.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    match length {
        Some(length) => body.len() >= length,
        // RTSP without a length has no body; HTTP's goes to the connection's end.
        None => head.starts_with("RTSP/"),
    }
}

/// The status code of an answer in `protocol`.
fn status(answer: &str, protocol: &str) -> Option<u16> {
    answer.strip_prefix(protocol)?.strip_prefix(' ')?.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    /// A server that gives one connection this answer and then keeps it open.
    fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; 256];
            let asked = stream.read(&mut question).unwrap();
            assert!(question[..asked].ends_with(b"\r\n\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
            thread::sleep(Duration::from_secs(60));
        });
        address
    }

    #[test]
    fn well_is_any_success() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nalive\n",
            "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
        ] {
            ask(server(answer), Question::Http("/healthz"), PATIENCE).unwrap();
        }
        ask(server("RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: OPTIONS\r\n\r\n"), Question::Rtsp, PATIENCE)
            .unwrap();
    }

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 19\r\n\r\nno frame\nfor a while";
        let unwell = ask(server(answer), Question::Http("/healthz"), PATIENCE).unwrap_err();
        assert!(unwell.to_string().ends_with("503 no frame"), "{unwell}");
    }

    #[test]
    fn other_servers_silence_and_closed_ports() {
        let foreign = ask(server("SSH-2.0-OpenSSH_9.2\r\n\r\n"), Question::Rtsp, SHORT);
        assert!(matches!(foreign, Err(Unwell::NoAnswer(..) | Unwell::Foreign(..))), "{foreign:?}");
        let http = ask(server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Question::Rtsp, PATIENCE);
        assert!(matches!(http, Err(Unwell::Foreign(_, "RTSP/1.0"))), "{http:?}");
        let silent = ask(server(""), Question::Http("/"), SHORT);
        assert!(matches!(silent, Err(Unwell::NoAnswer(..))), "{silent:?}");
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let nobody = ask(closed, Question::Rtsp, SHORT).unwrap_err();
        assert!(nobody.to_string().contains(&closed.to_string()), "{nobody}");
    }

    #[test]
    fn a_server_that_drips_does_not_hold_the_check_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(b"H").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        });
        let begin = Instant::now();
        let unwell = ask(address, Question::Http("/"), SHORT).unwrap_err();
        assert!(matches!(unwell, Unwell::NoAnswer(..)), "{unwell}");
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn an_unspecified_address_is_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0:5000".parse().unwrap()), "127.0.0.1:5000".parse().unwrap());
        assert_eq!(reachable("[::]:5000".parse().unwrap()), "[::1]:5000".parse().unwrap());
        assert_eq!(reachable("10.0.0.1:1".parse().unwrap()), "10.0.0.1:1".parse().unwrap());
    }
}
