//! Models from a server on this machine that does what servers do, the good ones and the others.

#![expect(clippy::unwrap_used, reason = "what a test cannot do, it reports by panicking")]

mod server;

use std::fs;
use std::path::Path;
use std::time::Duration;

use model_source::{Digest, Limits, Location, Source, SourceError};
use server::{Answer, Request, Server, whole};

/// A content that does not repeat itself, so that a piece in the wrong place shows.
fn content(seed: u32, length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8).collect()
}

fn source(url: &str, cache: &Path) -> Source {
    let limits = Limits { retries: 0, stall: Duration::from_secs(2), ..Limits::default() };
    Source::new(url.parse::<Location>().unwrap()).with_cache(cache.into()).with_limits(limits)
}

/// What a fetch brings, or what it says.
async fn fetched(source: &Source) -> Result<Vec<u8>, String> {
    match source.fetch().await {
        Ok(model) => Ok(fs::read(model.path).unwrap()),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn fetched_once_asked_for_again_and_used_when_nobody_answers() {
    let cache = tempfile::tempdir().unwrap();
    let (first, second) = (content(1, 300_000), content(2, 300_000));
    let server = Server::start({
        let (first, second) = (first.clone(), second.clone());
        move |request, count| match count {
            0 | 1 => whole(request, &first, Some("\"1\"")),
            _ => whole(request, &second, Some("\"2\"")),
        }
    });
    let url = server.url("/models/little.pb");
    let source = source(&url, cache.path());
    let one = source.fetch().await.unwrap();
    assert_eq!(one.path.file_name().unwrap(), "little.pb");
    assert!(fs::read(&one.path).unwrap() == first);
    assert_eq!(source.fetch().await.unwrap(), one, "not modified");
    let two = source.fetch().await.unwrap();
    assert!(two.version != one.version && fs::read(&two.path).unwrap() == second);
    let requests = server.stop();
    assert_eq!(requests[0].header("if-none-match"), None);
    assert_eq!(requests[1].header("if-none-match"), Some("\"1\""));
    assert_eq!(source.fetch().await.unwrap(), two, "nobody answers");
    let elsewhere = tempfile::tempdir().unwrap();
    let error = fetched(&self::source(&url, elsewhere.path())).await.unwrap_err();
    assert!(error.starts_with(&format!("cannot fetch {url}: ")), "{error}");
}

#[tokio::test]
async fn a_download_that_broke_off_goes_on() {
    let cache = tempfile::tempdir().unwrap();
    let body = content(1, 500_000);
    let server = Server::start({
        let body = body.clone();
        move |request, count| {
            let answer = whole(request, &body, Some("\"1\""));
            if count == 0 { answer.cut(200_000) } else { answer }
        }
    });
    let source = source(&server.url("/a.pb"), cache.path());
    let error = source.fetch().await.unwrap_err();
    assert!(matches!(error, SourceError::Broken { received: 1..=200_000, size: 500_000, .. }), "{error}");
    assert!(error.to_string().ends_with("it goes on from there"), "{error}");
    // Another process, another day.
    let source = self::source(&server.url("/a.pb"), cache.path());
    assert!(fetched(&source).await.unwrap() == body);
    let requests = server.stop();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].header("if-match"), Some("\"1\""));
    assert!(requests[1].header("range").unwrap().starts_with("bytes="));
}

#[tokio::test]
async fn an_object_that_changed_meanwhile_is_fetched_from_the_start() {
    let (old, new) = (content(1, 400_000), content(2, 400_000));
    type Second = fn(&Request, &[u8]) -> Answer;
    let honest: Second = |request, new| whole(request, new, Some("\"2\""));
    // Heeds the range and not the condition.
    let careless: Second = |request, new| whole(&request.without("if-match"), new, Some("\"2\""));
    // Knows no ranges.
    let simple: Second =
        |request, new| whole(&request.without("if-match").without("range"), new, Some("\"2\""));
    for second in [honest, careless, simple] {
        let cache = tempfile::tempdir().unwrap();
        let server = Server::start({
            let (old, new) = (old.clone(), new.clone());
            move |request, count| match count {
                0 => whole(request, &old, Some("\"1\"")).cut(150_000),
                _ => second(request, &new),
            }
        });
        let source = source(&server.url("/a.pb"), cache.path());
        source.fetch().await.unwrap_err();
        assert!(fetched(&source).await.unwrap() == new);
    }
}

#[tokio::test]
async fn without_a_strong_etag_nothing_is_spliced() {
    let body = content(1, 300_000);
    for e_tag in [None, Some("W/\"1\"")] {
        let cache = tempfile::tempdir().unwrap();
        let server = Server::start({
            let body = body.clone();
            move |request, count| {
                let answer = whole(request, &body, e_tag);
                if count == 0 { answer.cut(100_000) } else { answer }
            }
        });
        let source = source(&server.url("/a.pb"), cache.path());
        let error = fetched(&source).await.unwrap_err();
        assert!(error.contains("begins anew"), "{error}");
        assert!(fetched(&source).await.unwrap() == body);
        assert!(server.stop().iter().all(|request| request.header("range").is_none()));
    }
}

#[tokio::test]
async fn a_line_that_breaks_again_and_again_gets_there() {
    let cache = tempfile::tempdir().unwrap();
    let body = content(1, 7 << 20);
    let server = Server::start({
        let body = body.clone();
        move |request, _| whole(request, &body, Some("\"1\"")).cut(2 << 20)
    });
    assert!(fetched(&source(&server.url("/a.pb"), cache.path())).await.unwrap() == body);
    assert!(server.stop().len() >= 4);
}

/// Polls would otherwise load the line with the same file again and again.
#[tokio::test]
async fn a_server_that_tells_nothing_of_versions_is_believed_by_size_until_the_next_start() {
    let cache = tempfile::tempdir().unwrap();
    let contents = [content(1, 1000), content(2, 1000), content(3, 1001)];
    let server = Server::start({
        let contents = contents.clone();
        move |request, count| whole(request, &contents[count.min(2)], None)
    });
    let source = source(&server.url("/a.pb"), cache.path());
    assert!(fetched(&source).await.unwrap() == contents[0]);
    assert!(fetched(&source).await.unwrap() == contents[0]);
    assert!(fetched(&source).await.unwrap() == contents[2]);
    let restarted = self::source(&server.url("/a.pb"), cache.path());
    assert!(fetched(&restarted).await.unwrap() == contents[2]);
}

#[tokio::test]
async fn a_pin_is_held_to() {
    let cache = tempfile::tempdir().unwrap();
    let body = content(1, 100_000);
    let server = Server::start({
        let body = body.clone();
        move |request, _| whole(request, &body, Some("\"1\""))
    });
    let url = server.url("/a.pb");
    let pinned = |digest| source(&format!("{url}#sha256={digest}"), cache.path());
    let wrong = pinned(Digest::of(b"something else"));
    let error = fetched(&wrong).await.unwrap_err();
    assert!(error.contains(&format!("has the SHA-256 {}, not", Digest::of(&body))), "{error}");
    let right = pinned(Digest::of(&body));
    let model = right.fetch().await.unwrap();
    // Somebody who holds on to another digest does not get the copy either.
    assert!(fetched(&wrong).await.unwrap_err().contains("has the SHA-256"));
    let asked = server.stop().len();
    assert_eq!(asked, 3);
    // What is pinned needs no source; what was damaged on the disk is noticed.
    assert_eq!(right.fetch().await.unwrap(), model);
    let mut damaged = body.clone();
    damaged[50_000] ^= 1;
    fs::write(&model.path, damaged).unwrap();
    assert!(matches!(right.fetch().await, Err(SourceError::Unreachable { .. })));
}

#[tokio::test]
async fn redirects_are_followed_but_not_for_ever() {
    let cache = tempfile::tempdir().unwrap();
    let body = content(1, 1000);
    let server = Server::start({
        let body = body.clone();
        move |request, _| match request.path() {
            "/moved.pb" => Answer::new("302 Found", &["location: /here.pb"], b""),
            "/circle.pb" => Answer::new("302 Found", &["location: /circle.pb"], b""),
            _ => whole(request, &body, Some("\"1\"")),
        }
    });
    assert!(fetched(&source(&server.url("/moved.pb"), cache.path())).await.unwrap() == body);
    let error = fetched(&source(&server.url("/circle.pb"), cache.path())).await.unwrap_err();
    assert!(error.contains("too many redirects"), "{error}");
    assert!(server.stop().len() < 20);
}

#[tokio::test]
async fn refusals_and_sizes() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(|request, _| match request.path() {
        "/absent.pb" => Answer::new("404 Not Found", &[], b"no such thing"),
        "/secret.pb" => Answer::new("403 Forbidden", &[], b""),
        "/endless.pb" => Answer::raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n"),
        "/large.pb" => Answer::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nx"),
        _ => Answer::raw(b"220 FTP ready\r\n"),
    });
    for (path, said) in [
        ("/absent.pb", "404"),
        ("/secret.pb", "403"),
        ("/endless.pb", "Content-Length"),
        ("/large.pb", "has 99999999999 bytes, more than 4294967296"),
        ("/else.pb", "cannot fetch"),
    ] {
        let error = fetched(&source(&server.url(path), cache.path())).await.unwrap_err();
        assert!(error.contains(said), "{path}: {error}");
    }
    let error = fetched(&source(&server.url("/"), cache.path())).await.unwrap_err();
    assert!(error.contains("names no file"), "{error}");
}

#[tokio::test]
async fn a_transfer_that_stands_still_is_given_up() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(|request, _| whole(request, &content(1, 200_000), Some("\"1\"")).stall(1000));
    let begun = std::time::Instant::now();
    let error = fetched(&source(&server.url("/a.pb"), cache.path())).await.unwrap_err();
    assert!(error.contains("broke off after"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_download_once() {
    let cache = tempfile::tempdir().unwrap();
    let body = content(1, 2_000_000);
    let server = Server::start({
        let body = body.clone();
        move |request, _| whole(request, &body, Some("\"1\""))
    });
    let (one, two) = (source(&server.url("/a.pb"), cache.path()), source(&server.url("/a.pb"), cache.path()));
    let (one, two) = tokio::join!(fetched(&one), fetched(&two));
    assert!(one.unwrap() == body && two.unwrap() == body);
    let requests = server.stop();
    assert_eq!(requests.iter().filter(|request| request.header("if-none-match").is_none()).count(), 1);
}

#[tokio::test]
async fn a_cache_that_cannot_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let server = Server::start(|request, _| whole(request, b"x", None));
    let error = fetched(&source(&server.url("/a.pb"), &file)).await.unwrap_err();
    assert!(error.contains("cannot keep models in") && error.contains("--model-cache"), "{error}");
}

#[tokio::test]
async fn a_name_is_joined_to_what_ends_in_a_slash() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(|request, _| {
        let path = request.path().to_owned();
        whole(request, path.as_bytes(), Some("\"1\""))
    });
    let source = source(&server.url("/models/"), cache.path()).with_name(Some("little.pb".into()));
    assert_eq!(fetched(&source).await.unwrap(), b"/models/little.pb");
    // A query is part of the request, as signed URLs need it.
    let elsewhere = tempfile::tempdir().unwrap();
    let source = |cache: &tempfile::TempDir| self::source(&server.url("/a.pb?signature=a%2Fb"), cache.path());
    fetched(&source(&cache)).await.unwrap();
    let (second, third) = (source(&cache), source(&elsewhere));
    assert_eq!(server.stop()[1].target, "/a.pb?signature=a%2Fb");
    // It is nothing for the eyes of those who read logs.
    fetched(&second).await.unwrap();
    let error = fetched(&third).await.unwrap_err();
    assert!(error.contains("/a.pb") && !error.contains("a%2Fb"), "{error}");
}

#[tokio::test]
async fn two_files_make_a_model_of_darknets() {
    let cache = tempfile::tempdir().unwrap();
    let weights = [content(1, 300_000), content(2, 300_000)];
    let server = Server::start({
        let weights = weights.clone();
        move |request, count| match request.path() {
            "/m/y.weights" if count < 6 => whole(request, &weights[0], Some("\"1\"")),
            "/m/y.weights" => whole(request, &weights[1], Some("\"2\"")),
            "/m/y.cfg" => whole(request, b"[net]", Some("\"1\"")),
            "/m/named.cfg" => whole(request, b"[net]", Some("\"1\"")),
            "/m/named.weights" => whole(request, b"w", Some("\"1\"")),
            "/m/named.names" => whole(request, b"person", Some("\"1\"")),
            "/m/half.weights" => whole(request, b"w", None),
            _ => Answer::new("404 Not Found", &[], b""),
        }
    });
    let source = source(&server.url("/m/y.weights"), cache.path());
    let one = source.fetch().await.unwrap();
    assert!(one.path.ends_with("y.weights") && fs::read(&one.path).unwrap() == weights[0]);
    assert_eq!(fs::read(one.path.with_extension("cfg")).unwrap(), b"[net]");
    assert!(!one.path.with_extension("names").exists());
    assert_eq!(source.fetch().await.unwrap(), one, "nothing has changed");
    let two = source.fetch().await.unwrap();
    assert!(two.version != one.version && fs::read(&two.path).unwrap() == weights[1]);
    assert_eq!(fs::read(two.path.with_extension("cfg")).unwrap(), b"[net]");
    assert!(one.path.exists() && one.path.with_extension("cfg").exists(), "somebody may be about to read it");

    let named = self::source(&server.url("/m/named.cfg"), cache.path()).fetch().await.unwrap();
    assert_eq!(fs::read(named.path.with_extension("weights")).unwrap(), b"w");
    assert_eq!(fs::read(named.path.with_extension("names")).unwrap(), b"person");

    let half = fetched(&self::source(&server.url("/m/half.weights"), cache.path())).await.unwrap_err();
    assert!(
        half.starts_with(&format!("cannot fetch {}: there is nothing", server.url("/m/half.cfg"))),
        "{half}"
    );
    assert!(half.contains("half.weights is one of the two files of a Darknet model"), "{half}");
    server.stop();
    assert_eq!(source.fetch().await.unwrap(), two, "nobody answers");
}

#[tokio::test]
async fn local_files_and_their_pins() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a b.pb");
    fs::write(&path, "abc").unwrap();
    let text = path.to_str().unwrap();
    let url = format!("file://{}", text.replace(' ', "%20"));
    for location in [text.to_owned(), url.clone(), format!("{url}#sha256={}", Digest::of(b"abc"))] {
        let source = Source::new(location.parse().unwrap());
        assert_eq!(source.fetch().await.unwrap().path, path);
    }
    let source = Source::new(format!("{url}#sha256={}", Digest::of(b"abd")).parse().unwrap());
    assert!(matches!(source.fetch().await, Err(SourceError::WrongDigest { .. })));
    let source = Source::new(text.parse().unwrap());
    let before = source.fetch().await.unwrap();
    fs::write(directory.path().join("new"), "abd").unwrap();
    fs::rename(directory.path().join("new"), &path).unwrap();
    assert_ne!(source.fetch().await.unwrap(), before);
}
