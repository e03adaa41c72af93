//! The settings of one table, each of which may be left out.

use std::{fmt::Display, time::Duration};

use clap::ValueEnum;
use shaper_common::units::{Burst, Rate, UnitError, duration};
use toml::de::DeValue;

use crate::spec::{DEFAULT_RESERVE, Hook, Mode, OVERHEADS, Pacing, Settings, latency};

/// What a table says of a limit's [`Settings`].
#[derive(Debug, Clone, Default)]
pub(super) struct Partial {
    rate: Option<Rate>,
    download: Option<Rate>,
    burst: Option<Burst>,
    latency: Option<Duration>,
    overhead: Option<i32>,
    reserve: Option<Duration>,
    mode: Option<Mode>,
    pacing: Option<Pacing>,
    hook: Option<Hook>,
}

impl Partial {
    /// The keys.
    pub(super) const KEYS: [&str; 9] = [
        "rate",
        "download",
        "burst",
        "latency",
        "overhead",
        "small-packet-reserve",
        "mode",
        "pacing",
        "attach",
    ];

    /// Takes a setting; none if there is none of this name.
    ///
    /// # Errors
    ///
    /// What the value is not, and what would do.
    pub(super) fn set(&mut self, key: &str, value: &DeValue<'_>) -> Option<Result<(), String>> {
        let read = match key {
            "rate" => rate(value).map(|rate| self.rate = Some(rate)),
            "download" => rate(value).map(|rate| self.download = Some(rate)),
            "burst" => text(value, "250ms")
                .and_then(|text| text.parse().map_err(expected))
                .map(|burst| self.burst = Some(burst)),
            "latency" => text(value, "50ms")
                .and_then(|text| latency(text).map_err(not))
                .map(|time| self.latency = Some(time)),
            "overhead" => overhead(value).map(|bytes| self.overhead = Some(bytes)),
            "small-packet-reserve" => text(value, "1s")
                .and_then(|text| duration(text).map_err(expected))
                .map(|time| self.reserve = Some(time)),
            "mode" => word(value).map(|mode| self.mode = Some(mode)),
            "pacing" => word(value).map(|pacing| self.pacing = Some(pacing)),
            "attach" => word(value).map(|hook| self.hook = Some(hook)),
            _ => return None,
        };
        Some(read)
    }

    /// The settings, with `defaults` for what is left out; none if no direction has a rate.
    pub(super) fn settings(&self, defaults: &Self) -> Option<Settings> {
        let (upload, download) = (self.rate.or(defaults.rate), self.download.or(defaults.download));
        (upload.is_some() || download.is_some()).then(|| Settings {
            upload,
            download,
            burst: self.burst.or(defaults.burst),
            latency: self.latency.or(defaults.latency),
            overhead: self.overhead.or(defaults.overhead).unwrap_or(0),
            reserve: self.reserve.or(defaults.reserve).unwrap_or(DEFAULT_RESERVE),
            mode: self.mode.or(defaults.mode).unwrap_or_default(),
            pacing: self.pacing.or(defaults.pacing).unwrap_or_default(),
            hook: self.hook.or(defaults.hook).unwrap_or_default(),
        })
    }
}

/// What a value is, in words that go with "is".
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A value that must be a text.
///
/// # Errors
///
/// What it is instead.
pub(super) fn text<'a>(value: &'a DeValue<'_>, example: &str) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("is {}; write a text in quotes, such as \"{example}\"", kind(value)))
}

fn expected(error: UnitError) -> String {
    not(error.expected())
}

fn rate(value: &DeValue<'_>) -> Result<Rate, String> {
    text(value, "64kbit")?.parse().map_err(expected)
}

fn overhead(value: &DeValue<'_>) -> Result<i32, String> {
    let (least, most) = (OVERHEADS.start(), OVERHEADS.end());
    let number = value.as_integer().ok_or_else(|| {
        format!("is {}; write a whole number of bytes without quotes, from {least} to {most}", kind(value))
    })?;
    i32::from_str_radix(number.as_str(), number.radix())
        .ok()
        .filter(|overhead| OVERHEADS.contains(overhead))
        .ok_or_else(|| format!("is out of range; an overhead is from {least} to {most} bytes"))
}

/// One of a few words, as on the command line.
fn word<T: ValueEnum>(value: &DeValue<'_>) -> Result<T, String> {
    let words = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let words: Vec<String> = words.map(|word| format!("\"{}\"", word.get_name())).collect();
    let one_of = format!("one of {}", words.join(", "));
    let text = value.as_str().ok_or_else(|| format!("is {}; write {one_of}", kind(value)))?;
    T::from_str(text, false).map_err(|_| not(one_of))
}

fn not(expected: impl Display) -> String {
    format!("is not {expected}")
}
