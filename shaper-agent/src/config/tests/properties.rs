//! What holds of any limits and of any text.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use shaper_common::units::{Burst, Rate, Size};

use super::config;
use crate::{
    config::{Config, ConfigError},
    spec::{Hook, Mode, OVERHEADS, Pacing, Settings, Spec, Target},
};

/// A target that can be, with the characters that names may have.
fn targets() -> impl Strategy<Value = Target> {
    prop_oneof![
        r#"[A-Za-z0-9_.\-@"'\\é]{1,7}"#.prop_map(|name| ("iface", name)),
        (1..=u32::MAX).prop_map(|pid| ("pid", pid.to_string())),
        "[a-z0-9_.]{1,20}|/run/[a-z \"\\\\]{1,20}".prop_map(|name| ("netns", name)),
        "[a-z0-9]{1,12}(/[a-z0-9_.]{1,12})?".prop_map(|name| ("container", name)),
        "/[a-z.é\"\\\\ /]{0,40}".prop_map(|name| ("cgroup", name)),
    ]
    .prop_filter_map("no name", |(kind, name)| Target::new(kind, &name).ok())
}

fn rates() -> impl Strategy<Value = Rate> {
    (Rate::MIN..=Rate::MAX).prop_filter_map("no rate", Rate::from_bits_per_second)
}

fn bursts() -> impl Strategy<Value = Burst> {
    prop_oneof![
        // An hour's at the lowest rate.
        (1..=450_000_u64).prop_map(|bytes| Burst::Bytes(Size::from_bytes(bytes))),
        (0..100_000_u64).prop_map(|ms| Burst::Time(Duration::from_millis(ms))),
    ]
}

fn specs() -> impl Strategy<Value = Spec> {
    let rates = (proptest::option::of(rates()), proptest::option::of(rates()))
        .prop_filter("no direction", |(upload, download)| upload.is_some() || download.is_some());
    let modes = prop_oneof![Just(Mode::Auto), Just(Mode::Shape), Just(Mode::Police)];
    let hooks = prop_oneof![Just(Hook::Auto), Just(Hook::Tcx), Just(Hook::Clsact)];
    let pacings = prop_oneof![Just(Pacing::Auto), Just(Pacing::Off)];
    let words = (modes, pacings, hooks);
    (
        targets(),
        rates,
        proptest::option::of(bursts()),
        proptest::option::of(0..=4000_u64),
        OVERHEADS,
        0..100_000_u64,
        words,
    )
        .prop_map(
            |(target, (upload, download), burst, latency, overhead, reserve, (mode, pacing, hook))| {
                let reserve = Duration::from_millis(reserve);
                let latency = latency.map(Duration::from_millis);
                let settings =
                    Settings { upload, download, burst, latency, overhead, reserve, mode, pacing, hook };
                Spec { target, settings }
            },
        )
}

/// A limit as a table, with every setting spelled out.
fn written(Spec { target, settings }: &Spec) -> String {
    let target = target.to_string();
    let (kind, name) = target.split_once(':').unwrap();
    let mut text = format!("[[limit]]\n{kind} = {}\n", quoted(name));
    for (key, rate) in [("rate", settings.upload), ("download", settings.download)] {
        text.extend(rate.map(|rate| format!("{key} = \"{rate}\"\n")));
    }
    text.extend(settings.burst.map(|burst| match burst {
        Burst::Bytes(size) => format!("burst = \"{size}\"\n"),
        Burst::Time(time) => format!("burst = \"{}ms\"\n", time.as_millis()),
    }));
    text.extend(settings.latency.map(|time| format!("latency = \"{}ms\"\n", time.as_millis())));
    let Settings { overhead, reserve, mode, pacing, hook, .. } = settings;
    text += &format!("overhead = {overhead}\nsmall-packet-reserve = \"{}ms\"\n", reserve.as_millis());
    let words = format!("mode = \"{mode:?}\"\npacing = \"{pacing:?}\"\nattach = \"{hook:?}\"\n");
    text + &words.to_lowercase()
}

/// As a basic string of TOML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Text that is much like a configuration, and goes wrong late.
fn nearly() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "[[limit]]\n",
        "[defaults]\n",
        "[limit]\n",
        "iface",
        "pid",
        "rate",
        "mode",
        "overhead",
        " = ",
        "=",
        "\"a\"",
        "\"1mbit\"",
        "\"auto\"",
        "17",
        "-1",
        "1.5",
        "true",
        "{",
        "}",
        "[",
        "]",
        ",",
        ".",
        "\n",
        "\r\n",
        "#",
        "'''",
        "\"\"\"",
        "\\u0000",
        "é",
        "\u{feff}",
        "limit",
        "2020-01-01",
    ];
    proptest::collection::vec(proptest::sample::select(WORDS), 0..40).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn specs_are_read_as_they_are_written(specs in proptest::collection::btree_map(targets(), specs(), 1..20)) {
        let specs: Vec<Spec> =
            specs.into_iter().map(|(target, spec)| Spec { target, ..spec }).collect();
        let text: String = specs.iter().map(written).collect();
        prop_assert_eq!(config(&text).into_limits(), specs);
    }

    #[test]
    fn changes_lead_from_the_old_to_the_new(
        old in proptest::collection::btree_map(targets(), specs(), 0..8),
        new in proptest::collection::btree_map(targets(), specs(), 0..8),
        kept in any::<proptest::sample::Index>(),
    ) {
        let config = |specs: &BTreeMap<Target, Spec>| Config {
            limits: specs.iter().map(|(target, spec)| Spec { target: target.clone(), ..spec.clone() }).collect(),
        };
        let mut new = new;
        if !old.is_empty() {
            let (target, spec) = old.iter().nth(kept.index(old.len())).unwrap();
            new.insert(target.clone(), spec.clone());
        }
        let (old, new) = (config(&old), config(&new));
        let changes = old.changes(&new);
        let mut held: Vec<Spec> =
            old.limits().iter().filter(|spec| !changes.removed.contains(&&spec.target)).cloned().collect();
        for changed in &changes.changed {
            let spec = held.iter_mut().find(|spec| spec.target == changed.target).unwrap();
            prop_assert_ne!(&spec.settings, &changed.settings);
            *spec = (*changed).clone();
        }
        held.extend(changes.added.iter().map(|spec| (*spec).clone()));
        held.sort_by(|a, b| a.target.cmp(&b.target));
        prop_assert_eq!(held, new.into_limits());
    }

    #[test]
    fn no_text_is_too_strange(text in ".{0,400}") {
        check_strange(&text)?;
    }

    #[test]
    fn no_text_that_begins_well_is_too_strange(text in nearly()) {
        check_strange(&text)?;
    }
}

/// It is read, or every fault has a place and can be printed on one line.
fn check_strange(text: &str) -> Result<(), TestCaseError> {
    let Err(error) = Config::parse(text) else { return Ok(()) };
    let ConfigError::Faults(faults) = &error else { return Err(TestCaseError::fail(format!("{error:?}"))) };
    prop_assert!(!faults.list().is_empty());
    for fault in faults.list() {
        prop_assert!(fault.line >= 1 && fault.line <= text.split('\n').count(), "{:?}", fault);
        prop_assert!(fault.column >= 1 && fault.column <= text.chars().count() + 1, "{:?}", fault);
        prop_assert!(!fault.message.contains(char::is_control), "{:?}", fault);
    }
    Ok(())
}
