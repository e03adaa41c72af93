use std::time::Duration;

use shaper_common::units::{Burst, Rate};

use super::*;
use crate::spec::{DEFAULT_RESERVE, Hook, Mode, Pacing, Settings, Target};

mod bad;
mod documents;
mod properties;

fn config(text: &str) -> Config {
    Config::parse(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn rate(text: &str) -> Option<Rate> {
    Some(text.parse().unwrap())
}

#[test]
fn everything_that_a_limit_can_say() {
    let text = r#"
        [[limit]]
        iface = "veth1"
        rate = "64kbit"
        download = "1mbit"
        burst = "250ms"
        latency = "600ms"
        overhead = -8
        small-packet-reserve = "2s"
        mode = "police"
        pacing = "off"
        attach = "tcx"
    "#;
    let settings = Settings {
        upload: rate("64kbit"),
        download: rate("1mbit"),
        burst: Some(Burst::Time(Duration::from_millis(250))),
        latency: Some(Duration::from_millis(600)),
        overhead: -8,
        reserve: Duration::from_secs(2),
        mode: Mode::Police,
        pacing: Pacing::Off,
        hook: Hook::Tcx,
    };
    assert_eq!(config(text).limits(), [Spec { target: Target::Iface("veth1".to_owned()), settings }]);
}

#[test]
fn what_is_left_out_is_as_on_the_command_line() {
    let limits = config("[[limit]]\npid = 17\ndownload = \"1mbit\"").into_limits();
    let settings = Settings {
        upload: None,
        download: rate("1mbit"),
        burst: None,
        latency: None,
        overhead: 0,
        reserve: DEFAULT_RESERVE,
        mode: Mode::Auto,
        pacing: Pacing::Auto,
        hook: Hook::Auto,
    };
    assert_eq!(limits, [Spec { target: Target::Pid(17), settings }]);
}

#[test]
fn defaults_hold_wherever_they_stand_and_give_way() {
    let limits = config(
        r#"
        limit = [{ iface = "a" }, { netns = "b", rate = "2mbit", mode = "police" }]
        [defaults]
        rate = "1mbit"
        mode = "shape"
        overhead = 24
        "#,
    );
    let seen: Vec<_> = limits
        .limits()
        .iter()
        .map(|Spec { target, settings }| {
            (target.to_string(), settings.upload, settings.mode, settings.overhead)
        })
        .collect();
    let expected = [
        ("iface:a".to_owned(), rate("1mbit"), Mode::Shape, 24),
        ("netns:b".to_owned(), rate("2mbit"), Mode::Police, 24),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn no_limits_must_be_said() {
    assert!(config("limit = []").limits().is_empty());
    assert!(config("\u{feff}# from an editor\r\nlimit = []\r\n").limits().is_empty());
    assert!(Config::parse("[defaults]").is_err());
}

#[test]
fn a_thousand_and_some_limits() {
    let text = |count| -> String {
        (0..count).map(|n| format!("[[limit]]\niface = \"veth{n}\"\nrate = \"1mbit\"\n")).collect()
    };
    assert_eq!(config(&text(Config::MOST_LIMITS)).limits().len(), Config::MOST_LIMITS);
    let error = Config::parse(&text(Config::MOST_LIMITS + 1)).unwrap_err().to_string();
    assert_eq!(error, "line 3073, column 1: there are 1025 limits; 1024 is the most that one agent holds");
}

#[test]
fn a_reload_touches_only_what_differs() {
    let old = config(
        r#"
        limit = [
            { iface = "same", rate = "1mbit" },
            { iface = "gone", rate = "1mbit" },
            { iface = "faster", rate = "1mbit" },
        ]"#,
    );
    let new = config(
        r#"
        limit = [
            { iface = "faster", rate = "2mbit" },
            { container = "new", rate = "1mbit" },
            { iface = "same", rate = "1000kbit" },
        ]"#,
    );
    let changes = old.changes(&new);
    assert_eq!(changes.added, [&new.limits()[1]]);
    assert_eq!(changes.removed, [&old.limits()[1].target]);
    assert_eq!(changes.changed, [&new.limits()[0]]);
    assert!(!changes.is_empty());
    assert!(old.changes(&old.clone()).is_empty());
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = |path: &Path| Config::read(path).unwrap_err().to_string();
    let missing = directory.path().join("none.toml");
    let message = error(&missing);
    assert!(
        message.starts_with(&format!("cannot read the configuration file {}: No such", missing.display()))
    );
    assert!(message.ends_with("write one, or give the path of another with --config"), "{message}");
    for path in [directory.path(), Path::new("/dev/zero")] {
        let message = error(path);
        assert!(
            message.contains(&path.display().to_string()) && message.contains("no regular file"),
            "{message}"
        );
    }
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(error(&pipe).contains("no regular file"));
    let large = directory.path().join("large.toml");
    std::fs::write(&large, vec![b'#'; Config::MOST_BYTES as usize + 1]).unwrap();
    let message = error(&large);
    assert!(message.contains("large.toml has more than 1048576 bytes"), "{message}");
}

#[test]
fn faults_of_a_file_begin_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shaper.toml");
    std::fs::write(&path, "[[limit]]\niface = \"a\"\nrate = 64\nmode = 3\n").unwrap();
    let message = Config::read(&path).unwrap_err().to_string();
    let lines: Vec<&str> = message.lines().collect();
    let place = |at: &str| format!("{}:{at}: ", path.display());
    assert_eq!(lines.len(), 2, "{message}");
    assert!(lines[0].starts_with(&place("3:8")) && lines[1].starts_with(&place("4:8")), "{message}");
    std::fs::write(&path, b"# caf\xe9\n").unwrap();
    let message = Config::read(&path).unwrap_err().to_string();
    assert_eq!(message, format!("{}the byte 0xe9 is not UTF-8; save the file as UTF-8 text", place("1:6")));
}

#[test]
fn many_faults_do_not_fill_the_screen() {
    let text: String = (0..5000).map(|n| format!("key{n} = 1\n")).collect();
    let message = Config::parse(&text).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 21);
    assert!(message.ends_with("… and 4980 more"), "{message}");
}
