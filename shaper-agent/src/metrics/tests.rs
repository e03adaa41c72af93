use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use shaper_common::layout::Counters;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{LimitSnapshot, ListenError, Server, Snapshot, text};
use crate::spec::{Direction, Mode, Target};

const PATIENCE: Duration = Duration::from_secs(30);

fn limit(target: Target, direction: Direction) -> LimitSnapshot {
    let counters = Counters {
        passed_packets: 1,
        passed_bytes: 2,
        dropped_packets: 3,
        dropped_bytes: 4,
        share_drops: 5,
        early_drops: 6,
        contended_drops: 7,
        marked_packets: 8,
        queued_packets: 9,
        small_packets: 10,
        first_packets: 11,
        neighbour_packets: 12,
        gso_packets: 13,
        retries: u64::MAX,
    };
    LimitSnapshot {
        target,
        iface: "veth1".to_owned(),
        direction,
        mode: Mode::Shape,
        rate_bit_s: 64_100,
        burst_bytes: 3028,
        in_force: true,
        debt_seconds: 0.25,
        counters,
    }
}

fn veth() -> Target {
    Target::Iface("veth1".to_owned())
}

/// A server on a free port, with the means to change what it tells and to stop it.
struct Running {
    address: SocketAddr,
    snapshots: watch::Sender<Arc<Snapshot>>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

async fn start(snapshot: Snapshot) -> Running {
    start_with(snapshot, |_| ()).await
}

async fn start_with(snapshot: Snapshot, prepare: impl FnOnce(&mut Server)) -> Running {
    let (snapshots, receiver) = watch::channel(Arc::new(snapshot));
    let mut server = Server::listen(([127, 0, 0, 1], 0).into(), receiver).await.unwrap();
    prepare(&mut server);
    let address = server.address();
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(server.run(async {
        stopped.await.ok();
    }));
    Running { address, snapshots, stop, ended }
}

/// Sends `request` as it is and reads to the end of the connection.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut reply)).await.expect("an end of the reply").unwrap();
    reply
}

async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let reply = exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn metrics_are_served_as_prometheus_reads_them() {
    let running = start(Snapshot { limits: vec![limit(veth(), Direction::Upload)] }).await;
    let (head, body) = get(running.address, "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    let expected = r#"# HELP sluice_shaper_limit_info A limit that is wanted: its interface and how it is limited
# TYPE sluice_shaper_limit_info gauge
sluice_shaper_limit_info{target="iface:veth1",direction="upload",iface="veth1",mode="shape"} 1
# HELP sluice_shaper_in_force Whether the kernel limits the traffic now
# TYPE sluice_shaper_in_force gauge
sluice_shaper_in_force{target="iface:veth1",direction="upload"} 1
# HELP sluice_shaper_rate_bytes_per_second What may pass in a second
# TYPE sluice_shaper_rate_bytes_per_second gauge
sluice_shaper_rate_bytes_per_second{target="iface:veth1",direction="upload"} 8012.5
"#;
    assert!(body.starts_with(expected), "{body}");
    let samples: Vec<&str> = body
        .lines()
        .filter(|line| line.contains("_total{"))
        .map(|line| line.strip_prefix("sluice_shaper_").unwrap())
        .collect();
    let names_and_values = [
        ("passed_packets_total", 1),
        ("passed_bytes_total", 2),
        ("dropped_packets_total", 3),
        ("dropped_bytes_total", 4),
        ("share_drops_total", 5),
        ("early_drops_total", 6),
        ("contended_drops_total", 7),
        ("marked_packets_total", 8),
        ("queued_packets_total", 9),
        ("small_packets_total", 10),
        ("first_packets_total", 11),
        ("neighbour_packets_total", 12),
        ("gso_packets_total", 13),
        ("retries_total", u64::MAX),
    ];
    let expected: Vec<String> = names_and_values
        .iter()
        .map(|(name, value)| format!("{name}{{target=\"iface:veth1\",direction=\"upload\"}} {value}"))
        .collect();
    assert_eq!(samples, expected);
}

#[test]
fn every_metric_has_help_and_a_type_and_no_series_twice() {
    let limits = vec![limit(veth(), Direction::Upload), limit(veth(), Direction::Download)];
    let text = text::render(&Snapshot { limits });
    let mut series = std::collections::HashSet::new();
    let mut header = "";
    for line in text.lines() {
        match line.strip_prefix("# ") {
            Some(comment) => header = comment.split(' ').nth(1).unwrap(),
            None => {
                let (name, _) = line.split_once('{').unwrap();
                assert_eq!(name, header, "{text}");
                assert!(series.insert(line.rsplit_once(' ').unwrap().0), "{line}");
                let counter = text.contains(&format!("# TYPE {name} counter\n"));
                assert_eq!(counter, name.ends_with("_total"), "{name}");
                assert!(text.contains(&format!("# HELP {name} ")), "{name}");
            }
        }
    }
    assert_eq!(series.len(), 2 * 19);
}

#[test]
fn the_manual_names_every_metric() {
    let manual = include_str!("../../../docs/shaper-config.md");
    let text = text::render(&Snapshot::default());
    let names: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(names.len(), 19);
    for name in names {
        assert!(manual.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn label_values_are_escaped() {
    let target = Target::Cgroup("/sys/fs/cgroup/a\"b\\c\nd".into());
    let text = text::render(&Snapshot { limits: vec![limit(target, Direction::Download)] });
    assert!(
        text.contains(
            r#"sluice_shaper_in_force{target="cgroup:/sys/fs/cgroup/a\"b\\c\nd",direction="download"} 1"#
        ),
        "{text}"
    );
}

#[tokio::test]
async fn health_follows_the_snapshots() {
    let running = start(Snapshot::default()).await;
    let (head, body) = get(running.address, "/healthz").await;
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("content-type: application/json"),
        "{head}"
    );
    assert_eq!(body, "{\"status\":\"ok\",\"limits\":0}\n");

    let away =
        LimitSnapshot { in_force: false, ..limit(Target::Container("web".to_owned()), Direction::Download) };
    let snapshot = Snapshot { limits: vec![limit(veth(), Direction::Upload), away] };
    running.snapshots.send(Arc::new(snapshot)).unwrap();
    let (head, body) = get(running.address, "/healthz?verbose").await;
    assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
    let expected = r#"{"status":"not in force","limits":2,"not_in_force":[{"target":"container:web","direction":"download"}]}"#;
    assert_eq!(body.trim_end(), expected);

    // The last one holds when its sender has ended.
    drop(running.snapshots);
    assert!(get(running.address, "/healthz").await.0.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn everything_else_is_refused() {
    let running = start(Snapshot::default()).await;
    let at = running.address;
    assert!(get(at, "/").await.0.starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert!(get(at, "/metrics/").await.0.starts_with("HTTP/1.1 404 "));
    let post = exchange(at, "POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
    assert!(
        post.starts_with("HTTP/1.1 405 Method Not Allowed\r\n") && post.contains("allow: GET, HEAD\r\n"),
        "{post}"
    );
    let head = exchange(at, "HEAD /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(exchange(at, "GET  /metrics\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024));
    let mut stream = TcpStream::connect(at).await.unwrap();
    // It may hang up before it has read all of this.
    stream.write_all(long.as_bytes()).await.ok();
    let mut reply = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut reply)).await.expect("an end").ok();
    assert!(reply.is_empty() || reply.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&reply));
    // And it goes on.
    assert!(get(at, "/healthz").await.0.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn many_who_say_nothing_do_not_take_it_down() {
    let running = start(Snapshot::default()).await;
    let mut silent = Vec::new();
    for _ in 0..3 * super::server::MAX_CONNECTIONS {
        silent.push(TcpStream::connect(running.address).await.unwrap());
    }
    // All places are taken: this one waits until they run into their time limit, or leave.
    let waiting = tokio::spawn(async move { get(running.address, "/healthz").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    drop(silent);
    assert!(waiting.await.unwrap().0.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn whoever_takes_too_long_is_cut_off() {
    let patience = Duration::from_millis(300);
    let running = start_with(Snapshot::default(), |server| server.patience = patience).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
    let begin = std::time::Instant::now();
    let mut reply = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut reply)).await.expect("an end").ok();
    assert!(begin.elapsed() >= patience - Duration::from_millis(50));
    assert!(reply.is_empty(), "{}", String::from_utf8_lossy(&reply));
}

#[tokio::test]
async fn a_stop_ends_it_and_frees_the_port() {
    let running = start(Snapshot::default()).await;
    let mut half = TcpStream::connect(running.address).await.unwrap();
    half.write_all(b"GET /hea").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.stop.send(()).unwrap();
    timeout(PATIENCE, running.ended).await.expect("an end").unwrap();
    let refused = TcpStream::connect(running.address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    drop(half);
    let (_sender, receiver) = watch::channel(Arc::default());
    Server::listen(running.address, receiver).await.unwrap();
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_named() {
    let running = start(Snapshot::default()).await;
    let listen = async |address: SocketAddr| {
        let (_sender, receiver) = watch::channel(Arc::default());
        Server::listen(address, receiver).await.unwrap_err()
    };
    let (error, port) = (listen(running.address).await, running.address.port());
    assert!(matches!(error, ListenError::InUse(_)));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot serve metrics: port {port} on 127.0.0.1 is in use; `ss -ltnp 'sport = :{port}'` tells by whom; stop it \
             or give another address with --listen"
        )
    );
    let elsewhere = listen(([192, 0, 2, 1], 0).into()).await;
    assert!(matches!(elsewhere, ListenError::NotLocal(_)), "{elsewhere}");
}
