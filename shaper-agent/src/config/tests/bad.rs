//! Files that cannot be used, and what is said about them.

use crate::config::Config;

const NO_RATE: &str = "is not a rate from 1kbit to 100gbit; write it as tc does: `64kbit`, `1mbit`, `8kbps` (kilobytes a second)";
const NO_BURST: &str = "is not a burst; give bytes (`3028b`, `32kb`) or a time at the rate (`250ms`)";
const NO_TIME: &str = "is not a time with its unit, such as `500ms`, `60s` or `2m`";
const NO_LATENCY: &str = "is not a time of at most 4s with its unit, such as `50ms`";
const NO_IFACE: &str = "will not do; give the name of a network interface: at most 15 characters, no `/`, no white space, not `.` or `..`";
const NO_CONTAINER: &str = "will not do; give a container's name or id: letters, digits, `_`, `.`, `-`, `/`";
const NO_NETNS: &str =
    "will not do; give the name of a network namespace (`ip netns list`) or the path of one";
const NO_CGROUP: &str = "will not do; give the absolute path of a cgroup's directory, without `..`";
const NO_PID: &str = "will not do; give the number of a process";
const NO_LIMIT: &str = "there is no [[limit]]; write one, or `limit = []` if nothing is to be limited";
const FILE_KEYS: &str = "is not known here; a file has [defaults] and [[limit]]";
const LIMIT_KEYS: &str = "is not known here; a limit has iface, pid, netns, container, cgroup, rate, download, burst, \
                          latency, overhead, small-packet-reserve, mode, pacing, attach";
const SETTINGS: &str = "is no setting; there are rate, download, burst, latency, overhead, small-packet-reserve, mode, \
                        pacing, attach";
const NO_TARGET: &str =
    "this limit has no target; say whose traffic it is for with one of iface, pid, netns, container, cgroup";
const QUOTES: &str = "is no value; a text stands in quotes, as in rate = \"64kbit\"";

fn check(text: &str, expected: &str) {
    let message = Config::parse(text).map(|_| ()).unwrap_err().to_string();
    assert_eq!(message, expected, "{text}");
}

#[test]
fn files_as_a_whole() {
    let cases = [
        ("", format!("1, column 1: {NO_LIMIT}")),
        ("# nothing yet\n", format!("1, column 1: {NO_LIMIT}")),
        ("[defaults]\nrate = \"1mbit\"", format!("1, column 1: {NO_LIMIT}")),
        (
            "limit = 3",
            "1, column 9: limit: a number is no list; write [[limit]], with two brackets".to_owned(),
        ),
        (
            "\u{feff}limit = 3",
            "1, column 9: limit: a number is no list; write [[limit]], with two brackets".to_owned(),
        ),
        (
            "[limit]\niface = \"a\"",
            "1, column 1: limit: a table is no list; write [[limit]], with two brackets".to_owned(),
        ),
        (
            "limit = [true]",
            "1, column 10: limit: a truth value is no table; write [[limit]] and its settings below"
                .to_owned(),
        ),
        (
            "limit = []\ndefaults = 3",
            "2, column 12: defaults: a number is no table; write [defaults]".to_owned(),
        ),
        (
            "limit = []\n[[defaults]]",
            "2, column 1: defaults: a list is no table; write [defaults]".to_owned(),
        ),
        ("[[limits]]\n", format!("1, column 3: `limits` {FILE_KEYS}")),
        ("limit = []\n[Defaults]", format!("2, column 2: `Defaults` {FILE_KEYS}")),
        ("interval = \"1s\"\n", format!("1, column 1: `interval` {FILE_KEYS}")),
        ("limit = []\n[defaults]\nreserve = \"1s\"", format!("3, column 1: `reserve` {SETTINGS}")),
        (
            "limit = []\n[defaults]\niface = \"a\"",
            "3, column 1: `iface` cannot have a default; write it in its [[limit]]".to_owned(),
        ),
        // Said once, where it is wrong, not again at each limit that has no other rate.
        ("[defaults]\nrate = \"x\"\n[[limit]]\niface = \"a\"", format!("2, column 8: rate: \"x\" {NO_RATE}")),
    ];
    for (text, expected) in cases {
        check(text, &format!("line {expected}"));
    }
}

#[test]
fn what_is_not_toml() {
    let cases = [
        ("[[limit]]\nrate = 64kbit", format!("2, column 8: `64kbit` {QUOTES}")),
        ("[[limit]]\niface = veth1", format!("2, column 9: `veth1` {QUOTES}")),
        ("[[limit]]\niface =", format!("2, column 8: `` {QUOTES}")),
        ("[[limit]\n", "1, column 9: this is not TOML: unclosed array table, expected `]`".to_owned()),
        ("[[limit]]\niface", "2, column 6: this is not TOML: key with no value, expected `=`".to_owned()),
        (
            "[[limit]]\niface = \"a",
            "2, column 11: this is not TOML: invalid basic string, expected `\"`".to_owned(),
        ),
        (
            "[[limit]]\niface = \"a\" rate = \"1mbit\"",
            "2, column 13: this is not TOML: unexpected key or value, expected newline, `#`".to_owned(),
        ),
        (
            "[[limit]]\niface = \"a\"\niface = \"b\"",
            "3, column 1: `iface` is there already; leave one of them out".to_owned(),
        ),
        (
            "[defaults]\n[defaults]\n",
            "2, column 2: `defaults` is there already; leave one of them out".to_owned(),
        ),
        (
            "{ \"limit\": [] }",
            "1, column 1: this is not TOML: invalid key-value pair, expected key".to_owned(),
        ),
        ("limit:\n- iface: a\n", "1, column 7: this is not TOML: key with no value, expected `=`".to_owned()),
    ];
    for (text, expected) in cases {
        check(text, &format!("line {expected}"));
    }
}

#[test]
fn limits_that_do_not_say_enough_or_too_much() {
    let cases = [
        ("", format!("1, column 1: {NO_TARGET}")),
        ("rate = \"1mbit\"", format!("1, column 1: {NO_TARGET}")),
        (
            "iface = \"a\"\nmode = \"police\"",
            "1, column 1: this limit has no rate; give it rate (what may be sent), download or both"
                .to_owned(),
        ),
        (
            "rate = \"1mbit\"\npid = 3\niface = \"a\"",
            "4, column 1: `iface` is the limit's second target, after `pid`; write a [[limit]] for each"
                .to_owned(),
        ),
        ("iface = \"a\"\nrat = \"1mbit\"\nrate = \"1mbit\"", format!("3, column 1: `rat` {LIMIT_KEYS}")),
        (
            "iface = \"a\"\nrate = \"1mbit\"\nsmall_packet_reserve = \"1s\"",
            format!("4, column 1: `small_packet_reserve` {LIMIT_KEYS}"),
        ),
        (
            "iface = \"a\"\nrate = \"1mbit\"\n\"\\u001b[2J\" = 1",
            format!("4, column 1: `\\u{{1b}}[2J` {LIMIT_KEYS}"),
        ),
        (
            "iface = \"a\"\nrate = \"1mbit\"\n\n[[limit]]\nrate = \"2mbit\"\niface = \"a\"",
            "7, column 1: iface:a has a limit in line 2 already; leave one of them out".to_owned(),
        ),
        (
            "cgroup = \"/sys/fs/cgroup/a\"\nrate = \"1mbit\"\n[[limit]]\ncgroup = \"/sys/fs//cgroup/./a/\"\nrate = \"1mbit\"",
            "5, column 1: cgroup:/sys/fs//cgroup/./a/ has a limit in line 2 already; leave one of them out"
                .to_owned(),
        ),
    ];
    for (text, expected) in cases {
        check(&format!("[[limit]]\n{text}"), &format!("line {expected}"));
    }
}

#[test]
fn settings_that_cannot_be_together() {
    let cases = [
        (
            "burst = \"30mb\"\nrate = \"64kbit\"",
            "a burst of 31457280b lasts more than an hour at 64kbit; give a smaller one",
        ),
        (
            "burst = \"2h\"\ndownload = \"1mbit\"",
            "a burst of 900000000b lasts more than an hour at 1mbit; give a smaller one",
        ),
        (
            "small-packet-reserve = \"61min\"\nrate = \"64kbit\"",
            "a reserve of 3660 s is more than an hour; give a shorter one",
        ),
    ];
    for (text, expected) in cases {
        check(
            &format!("[[limit]]\niface = \"a\"\n{text}"),
            &format!("line 1, column 1: this limit cannot be: {expected}"),
        );
    }
}

#[test]
fn settings_that_cannot_be() {
    let no_text = |example: &str| format!("is a number; write a text in quotes, such as \"{example}\"");
    let cases = [
        ("rate", "64000", no_text("64kbit")),
        ("rate", "\"64 kbit\"", NO_RATE.to_owned()),
        ("rate", "\"\"", NO_RATE.to_owned()),
        ("rate", "\"0\"", NO_RATE.to_owned()),
        ("rate", "\"101gbit\"", NO_RATE.to_owned()),
        ("rate", "\"-1mbit\"", NO_RATE.to_owned()),
        ("rate", "\"unlimited\"", NO_RATE.to_owned()),
        ("rate", "true", "is a truth value; write a text in quotes, such as \"64kbit\"".to_owned()),
        ("download", "1.5", no_text("64kbit")),
        ("download", "[\"1mbit\"]", "is a list; write a text in quotes, such as \"64kbit\"".to_owned()),
        ("burst", "3028", no_text("250ms")),
        ("burst", "\"soon\"", NO_BURST.to_owned()),
        ("burst", "\"0\"", NO_BURST.to_owned()),
        (
            "overhead",
            "\"24\"",
            "is a text; write a whole number of bytes without quotes, from -64 to 256".to_owned(),
        ),
        (
            "overhead",
            "1.5",
            "is a number; write a whole number of bytes without quotes, from -64 to 256".to_owned(),
        ),
        ("overhead", "257", "is out of range; an overhead is from -64 to 256 bytes".to_owned()),
        (
            "overhead",
            "-9999999999999999999999",
            "is out of range; an overhead is from -64 to 256 bytes".to_owned(),
        ),
        ("latency", "1", no_text("50ms")),
        ("latency", "\"1\"", NO_LATENCY.to_owned()),
        ("latency", "\"5s\"", NO_LATENCY.to_owned()),
        ("small-packet-reserve", "1", no_text("1s")),
        ("small-packet-reserve", "\"1\"", NO_TIME.to_owned()),
        ("mode", "\"drop\"", "is not one of \"auto\", \"shape\", \"police\"".to_owned()),
        ("mode", "1", "is a number; write one of \"auto\", \"shape\", \"police\"".to_owned()),
        ("attach", "\"xdp\"", "is not one of \"auto\", \"tcx\", \"clsact\"".to_owned()),
        ("attach", "2026-01-01", "is a date; write one of \"auto\", \"tcx\", \"clsact\"".to_owned()),
        ("attach", "{ a = 1 }", "is a table; write one of \"auto\", \"tcx\", \"clsact\"".to_owned()),
    ];
    for (key, value, wrong) in cases {
        let column = key.len() + 4;
        check(
            &format!("[[limit]]\niface = \"a\"\ndownload = \"1mbit\"\n{key} = {value}").replace(
                "download = \"1mbit\"\ndownload",
                "# the same key twice would be another fault\ndownload",
            ),
            &format!("line 4, column {column}: {key}: {value} {wrong}"),
        );
    }
}

#[test]
fn targets_that_cannot_be() {
    let cases = [
        ("iface", "3", "is a number; write a text in quotes, such as \"veth1\""),
        ("iface", "\"\"", NO_IFACE),
        ("iface", "\"a/b\"", NO_IFACE),
        ("iface", "\"sixteen-letters-\"", NO_IFACE),
        ("iface", "\"a\\tb\"", NO_IFACE),
        ("pid", "0", NO_PID),
        ("pid", "-4", NO_PID),
        ("pid", "99999999999", NO_PID),
        ("pid", "0x10", NO_PID),
        ("pid", "\"web\"", NO_PID),
        ("pid", "true", "is a truth value; write a text in quotes, such as \"4711\""),
        ("netns", "\"../x\"", NO_NETNS),
        ("container", "\"../../etc\"", NO_CONTAINER),
        ("container", "\"--all\"", NO_CONTAINER),
        ("container", "[\"a\"]", "is a list; write a text in quotes, such as \"web\""),
        ("cgroup", "\"web.slice\"", NO_CGROUP),
        ("cgroup", "\"/sys/fs/cgroup/../x\"", NO_CGROUP),
        (
            "cgroup",
            "9",
            "is a number; write a text in quotes, such as \"/sys/fs/cgroup/system.slice/web.service\"",
        ),
    ];
    for (kind, value, wrong) in cases {
        let column = kind.len() + 4;
        check(
            &format!("[[limit]]\nrate = \"1mbit\"\n{kind} = {value}"),
            &format!("line 3, column {column}: {kind}: {value} {wrong}"),
        );
    }
}

#[test]
fn long_values_are_cut() {
    let long = "x".repeat(5000);
    let found = format!("\"{}…", "x".repeat(47));
    check(
        &format!("[[limit]]\niface = \"a\"\nrate = \"{long}\""),
        &format!("line 3, column 8: rate: {found} {NO_RATE}"),
    );
}

#[test]
fn all_faults_are_named_in_the_files_order() {
    let text = "[[limit]]\nzone = 1\nrate = 1\n[[limit]]\niface = \"a\"\nattach = 1\n[defaults]\nmode = 1\n";
    let error = Config::parse(text).unwrap_err().to_string();
    let places: Vec<&str> = error.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        places,
        ["line 1, column 1", "line 2, column 1", "line 3, column 8", "line 6, column 10", "line 8, column 8"]
    );
}
