//! A web server of a few lines: one answer a connection, whatever the test wants it to be.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) target: String,
    headers: Vec<(String, String)>,
}

impl Request {
    fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).ok()?;
        let mut lines = head.lines();
        let target = lines.next()?.split(' ').nth(1)?.to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Some(Self { target, headers })
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The same as seen by a server that does not know the header.
    pub(crate) fn without(&self, name: &str) -> Self {
        let headers = self.headers.iter().filter(|(key, _)| key != name).cloned().collect();
        Self { target: self.target.clone(), headers }
    }
}

/// The bytes of an answer, and how the connection ends.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    head: Vec<u8>,
    body: Vec<u8>,
    stall: bool,
}

impl Answer {
    pub(crate) fn new(status: &str, headers: &[&str], body: &[u8]) -> Self {
        let mut head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
        for header in headers {
            head += &format!("{header}\r\n");
        }
        head += "connection: close\r\n\r\n";
        Self { head: head.into_bytes(), body: body.into(), stall: false }
    }

    pub(crate) fn raw(bytes: &[u8]) -> Self {
        Self { head: bytes.into(), body: Vec::new(), stall: false }
    }

    /// The connection ends after so many bytes of the body.
    pub(crate) fn cut(mut self, length: usize) -> Self {
        self.body.truncate(length);
        self
    }

    /// Nothing comes after so many bytes of the body, and the connection stays.
    pub(crate) fn stall(mut self, length: usize) -> Self {
        self.stall = true;
        self.cut(length)
    }
}

/// What a server that knows conditions and ranges answers.
pub(crate) fn whole(request: &Request, body: &[u8], e_tag: Option<&str>) -> Answer {
    let tag = e_tag.map(|tag| format!("etag: {tag}"));
    let headers: Vec<&str> = tag.iter().map(String::as_str).collect();
    if e_tag.is_some() && request.header("if-none-match") == e_tag {
        return Answer { body: Vec::new(), ..Answer::new("304 Not Modified", &headers, b"") };
    }
    if request.header("if-match").is_some_and(|tag| Some(tag) != e_tag) {
        return Answer::new("412 Precondition Failed", &[], b"");
    }
    let begin = request
        .header("range")
        .and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok());
    match begin {
        Some(begin) if begin < body.len() => {
            let range = format!("content-range: bytes {begin}-{}/{}", body.len() - 1, body.len());
            Answer::new("206 Partial Content", &[headers, vec![&range]].concat(), &body[begin..])
        }
        Some(_) => Answer::new("416 Range Not Satisfiable", &[], b""),
        None => Answer::new("200 OK", &headers, body),
    }
}

/// A server on this machine.
pub(crate) struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<Request>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers each request, whose number it is told, with what `answer` says.
    pub(crate) fn start(answer: impl Fn(&Request, usize) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&requests));
        let thread = std::thread::spawn(move || {
            let mut stalled = Vec::new();
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let Some(request) = Request::read(&mut stream) else { continue };
                let count = seen.lock().unwrap().len();
                seen.lock().unwrap().push(request.clone());
                let Answer { head, body, stall } = answer(&request, count);
                // The client may have heard enough.
                let _ = stream.write_all(&head).and_then(|()| stream.write_all(&body));
                if stall {
                    stalled.push(stream);
                }
            }
        });
        Self { address, stop, requests, thread: Some(thread) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Stops it; returns what it was asked for.
    pub(crate) fn stop(mut self) -> Vec<Request> {
        self.end();
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes it; it may have ended already.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
