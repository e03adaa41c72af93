//! How the program starts, fails to start, and stops.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::{Daemon, command, get, infer, jpeg, read_reply, write_model};

#[test]
fn it_listens_while_the_model_loads_and_can_be_stopped_then() {
    let directory = tempfile::tempdir().unwrap();
    // A server that takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let model = format!("http://{}/model.safetensors", silent.local_addr().unwrap());
    let cache = directory.path().join("cache").to_str().unwrap().to_owned();
    let mut daemon = Daemon::start_with(directory, model.as_ref(), &["--model-cache", &cache]);
    assert_eq!(get(daemon.address, "/healthz").status, 200);
    let not_ready = get(daemon.address, "/readyz");
    assert_eq!((not_ready.status, not_ready.problem().kind.as_str()), (503, "/problems/not-ready"));
    let refused = infer(daemon.address, "", &jpeg(64, 64));
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn it_says_whether_it_is_well() {
    let mut daemon = Daemon::start(&[]);
    let health = |variables: &[(&str, String)]| {
        let output = command().arg("--health").envs(variables.iter().cloned()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let address = [("BIG_MODEL_BIND_PORT", daemon.address.port().to_string())];
    assert_eq!(health(&address), (Some(0), String::new()));
    daemon.terminate();
    daemon.wait();
    let (code, message) = health(&address);
    assert_eq!(code, Some(1));
    assert!(message.contains("nobody answers") && message.lines().count() == 1, "{message}");
}

#[test]
fn what_is_in_flight_is_answered_before_it_stops() {
    let mut daemon = Daemon::start(&["--input-shape", "608,608"]);
    let body = jpeg(640, 360);
    let mut stream = TcpStream::connect(daemon.address).unwrap();
    write!(stream, "POST /infer HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len()).unwrap();
    stream.write_all(&body[..100]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    daemon.terminate();
    let begun = Instant::now();
    while TcpStream::connect(daemon.address).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(3), "it still accepts connections");
        std::thread::sleep(Duration::from_millis(20));
    }
    stream.write_all(&body[100..]).unwrap();
    assert_eq!(read_reply(&stream).status, 200);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_caller_that_stalls_does_not_hold_up_the_end() {
    let mut daemon = Daemon::start(&[]);
    let mut stream = TcpStream::connect(daemon.address).unwrap();
    stream.write_all(b"POST /infer HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\nhalf").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// Exit code and standard error of a daemon that does not get far.
fn failure(arguments: &[&str]) -> (Option<i32>, String) {
    let output = command().args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_keeps_it_from_starting_is_told_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let model = directory.path().join("model.safetensors");
    write_model(&model);
    let model = model.to_str().unwrap();
    let broken = directory.path().join("broken.safetensors");
    std::fs::write(&broken, "no model").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let address = format!("127.0.0.1:{port}");

    let missing = directory.path().join("none.safetensors");
    for (arguments, told) in [
        (
            ["--model", missing.to_str().unwrap(), "--listen", "127.0.0.1:0"],
            ["none.safetensors", "there is no such file"],
        ),
        (["--model", broken.to_str().unwrap(), "--listen", "127.0.0.1:0"], ["broken.safetensors", ""]),
        (["--model", model, "--listen", &address], [port.as_str(), "ss -ltnp"]),
        (["--model", model, "--listen", "192.0.2.1:5000"], ["192.0.2.1", "not an address of this machine"]),
    ] {
        let (code, stderr) = failure(&arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {stderr}");
        assert!(told.iter().all(|part| stderr.contains(part)), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
    }
    assert_eq!(failure(&["--model", model, "--listen", "nowhere"]).0, Some(2));
    assert_eq!(failure(&[]).0, Some(2));
}
