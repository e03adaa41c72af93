//! Where the model may come from.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use protocol::infer::InferResponse;

use crate::support::{Daemon, command, infer, jpeg, write_model};

/// What others may look into or change.
type Shared<T> = Arc<Mutex<T>>;

/// A store that answers every request with a file, `file` at first, and remembers the heads of the requests. It ends with
/// the process.
pub(crate) fn store(file: Vec<u8>) -> (SocketAddr, Shared<Vec<u8>>, Shared<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (file, heads) = (Arc::new(Mutex::new(file)), Arc::new(Mutex::new(Vec::new())));
    let (content, seen) = (Arc::clone(&file), Arc::clone(&heads));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A caller that leaves early is no concern of the store's.
            let _ = stream.and_then(|stream| answer(stream, &content.lock().unwrap(), &seen));
        }
    });
    (address, file, heads)
}

fn answer(mut stream: TcpStream, file: &[u8], seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    seen.lock().unwrap().push(head.to_ascii_lowercase());
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nconnection: close\r\netag: \"{}\"\r\nlast-modified: Tue, 24 Nov 2026 10:00:00 GMT\r\n\
         content-length: {}\r\n\r\n",
        model_source::Digest::of(file),
        file.len()
    )?;
    stream.write_all(file)
}

fn model_file() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    write_model(&path);
    std::fs::read(path).unwrap()
}

fn answers(daemon: &Daemon) {
    daemon.until_ready();
    let reply = infer(daemon.address, "", &jpeg(320, 180));
    let answer: InferResponse = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status, answer.model.name.as_str()), (200, "random-7"));
}

#[test]
fn from_a_directory_and_beneath_sednas_prefix() {
    let directory = tempfile::tempdir().unwrap();
    let models = directory.path().join("data/models");
    std::fs::create_dir_all(&models).unwrap();
    write_model(&models.join("big.safetensors"));
    write_model(&models.join("other.safetensors"));
    let prefix = directory.path().join("data");
    let mut command = command();
    command.env("MODEL_URL", "/models").env("MODEL_NAME", "big.safetensors").env("DATA_PATH_PREFIX", prefix);
    answers(&Daemon::run(directory, &mut command));
}

#[test]
fn from_a_web_server() {
    let (address, _, heads) = store(model_file());
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let mut command = command();
    command.env("MODEL_URL", format!("http://{address}/models/big.pb")).env("MODEL_CACHE", &cache);
    answers(&Daemon::run(directory, &mut command));
    assert!(heads.lock().unwrap()[0].starts_with("get /models/big.pb http/1.1"));
}

#[test]
fn from_a_store_that_speaks_s3() {
    let (address, _, heads) = store(model_file());
    for endpoint in [
        ["AWS_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
        ["S3_ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"],
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = command();
        command
            .args(["--model", "s3://models/helmets/big model.safetensors"])
            .env("XDG_CACHE_HOME", directory.path())
            .env("AWS_ALLOW_HTTP", "true")
            .envs(endpoint.into_iter().zip([format!("http://{address}"), "key-1".into(), "secret".into()]));
        answers(&Daemon::run(directory, &mut command));
        let head = heads.lock().unwrap().pop().unwrap();
        assert!(head.starts_with("get /models/helmets/big%20model.safetensors http/1.1"), "{head}");
        assert!(head.contains("authorization: aws4-hmac-sha256 credential=key-1/"), "{head}");
    }
}
