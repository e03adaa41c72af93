//! Rates, sizes and times as `tc` reads and prints them.

use core::{fmt, str::FromStr, time::Duration};
use std::{format, string::String};

/// What could not be read, and what would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitError {
    text: String,
    expected: &'static str,
}

impl UnitError {
    /// What would do, in words that go with "is not".
    #[must_use]
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not {}", self.text, self.expected)
    }
}

impl core::error::Error for UnitError {}

/// A rate in bits per second, from 1 kbit/s to 100 Gbit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

/// An amount of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// A burst as it is given: bytes, or a time at the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Burst {
    /// So many bytes.
    Bytes(Size),
    /// As many bytes as leave in this time.
    Time(Duration),
}

/// `tc`'s rate units (case is ignored), in bits per second.
const RATE_UNITS: &[(&str, f64)] = &[
    ("", 1.0),
    ("bit", 1.0),
    ("kbit", 1e3),
    ("mbit", 1e6),
    ("gbit", 1e9),
    ("kibit", 1024.0),
    ("mibit", 1_048_576.0),
    ("gibit", 1_073_741_824.0),
    ("bps", 8.0),
    ("kbps", 8e3),
    ("mbps", 8e6),
    ("gbps", 8e9),
    ("kibps", 8.0 * 1024.0),
    ("mibps", 8.0 * 1_048_576.0),
    ("gibps", 8.0 * 1_073_741_824.0),
];

/// `tc`'s size units (case is ignored), in bytes: here k is 1024.
const SIZE_UNITS: &[(&str, f64)] = &[
    ("", 1.0),
    ("b", 1.0),
    ("k", 1024.0),
    ("kb", 1024.0),
    ("m", 1_048_576.0),
    ("mb", 1_048_576.0),
    ("g", 1_073_741_824.0),
    ("gb", 1_073_741_824.0),
    ("bit", 0.125),
    ("kbit", 128.0),
    ("mbit", 131_072.0),
];

const TIME_UNITS: &[(&str, f64)] =
    &[("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("sec", 1.0), ("min", 60.0), ("h", 3600.0)];

/// The number and the factor of its unit.
fn parse(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    Some(number * factor)
}

impl Rate {
    /// The lowest rate that the arithmetic is made for, in bits per second.
    pub const MIN: u64 = 1_000;
    /// The highest.
    pub const MAX: u64 = 100_000_000_000;

    /// A rate in bits per second, if it is from [`Rate::MIN`] to [`Rate::MAX`].
    #[must_use]
    pub fn from_bits_per_second(bits: u64) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&bits).then_some(Self(bits))
    }

    /// Bits per second.
    #[must_use]
    pub fn bits_per_second(self) -> u64 {
        self.0
    }

    /// Bytes that leave in `time`, rounded down.
    #[must_use]
    pub fn bytes_in(self, time: Duration) -> u64 {
        // More than 128 bits hold is more than 64 hold after the division, too.
        (time.as_nanos().saturating_mul(self.0.into()) / 8_000_000_000).try_into().unwrap_or(u64::MAX)
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, RATE_UNITS).and_then(|bits| Self::from_bits_per_second(bits as u64)).ok_or_else(|| UnitError {
            text: text.into(),
            expected: "a rate from 1kbit to 100gbit; write it as tc does: `64kbit`, `1mbit`, `8kbps` (kilobytes a second)",
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1_000, "kbit")];
        match units.into_iter().find(|(unit, _)| self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}bit", self.0),
        }
    }
}

impl Size {
    /// So many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}b", self.0)
    }
}

impl Burst {
    /// The burst in bytes at a rate.
    #[must_use]
    pub fn at(self, rate: Rate) -> Size {
        match self {
            Self::Bytes(size) => size,
            Self::Time(time) => Size(rate.bytes_in(time)),
        }
    }
}

impl FromStr for Burst {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if let Some(bytes) = parse(text, SIZE_UNITS).filter(|bytes| *bytes >= 1.0) {
            return Ok(Self::Bytes(Size(bytes as u64)));
        }
        duration(text).map(Self::Time).map_err(|_| UnitError {
            text: text.into(),
            expected: "a burst; give bytes (`3028b`, `32kb`) or a time at the rate (`250ms`)",
        })
    }
}

/// A time: `500ms`, `60s`, `2min`.
///
/// # Errors
///
/// No number, no unit, or nothing at all: a bare number says too little.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    // `2m` is two minutes here and two mebibytes in a burst, as everywhere else.
    let spelled = match text.strip_suffix('m') {
        Some(number) => format!("{number}min"),
        None => text.into(),
    };
    parse(&spelled, TIME_UNITS).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).ok_or_else(
        || UnitError { text: text.into(), expected: "a time with its unit, such as `500ms`, `60s` or `2m`" },
    )
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn rates_read_as_tc_reads_them() {
        let cases = [
            ("64kbit", 64_000),
            ("64Kbit", 64_000),
            ("1mbit", 1_000_000),
            ("1.5mbit", 1_500_000),
            ("8kbps", 64_000),
            ("8KBps", 64_000),
            ("1gbit", 1_000_000_000),
            ("64000", 64_000),
            ("64000bit", 64_000),
            ("64kibit", 65_536),
            ("1mibps", 8_388_608),
            ("100gbit", 100_000_000_000),
        ];
        for (text, bits) in cases {
            assert_eq!(text.parse::<Rate>().map(Rate::bits_per_second), Ok(bits), "{text}");
        }
    }

    #[test]
    fn rates_that_are_none() {
        for text in
            ["", "kbit", "64 kbit", "64kbitt", "-1mbit", "0", "999bit", "101gbit", "1e3kbit", "nan", "50%"]
        {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        let message = "fast".parse::<Rate>().unwrap_err().to_string();
        assert!(message.contains("`fast`") && message.contains("64kbit"), "{message}");
    }

    #[test]
    fn rates_print_and_read_back() {
        for (bits, text) in
            [(64_000, "64kbit"), (1_000_000, "1mbit"), (1_500_000, "1500kbit"), (65_536, "65536bit")]
        {
            let rate = Rate::from_bits_per_second(bits).unwrap();
            assert_eq!(rate.to_string(), text);
            assert_eq!(text.parse(), Ok(rate));
        }
    }

    #[test]
    fn bursts_are_bytes_or_time() {
        let rate: Rate = "64kbit".parse().unwrap();
        let cases = [
            ("3028b", 3028),
            ("3028", 3028),
            ("32kb", 32_768),
            ("1k", 1024),
            ("250ms", 2000),
            ("2s", 16_000),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse::<Burst>().map(|burst| burst.at(rate).bytes()), Ok(bytes), "{text}");
        }
        assert!("0".parse::<Burst>().is_err());
        assert!("soon".parse::<Burst>().unwrap_err().to_string().contains("250ms"));
    }

    #[test]
    fn no_time_is_too_long() {
        let most = Rate::from_bits_per_second(Rate::MAX).unwrap();
        assert_eq!(most.bytes_in(Duration::MAX), u64::MAX);
        assert_eq!(
            "10000000000000000000s".parse::<Burst>().map(|burst| burst.at(most).bytes()),
            Ok(u64::MAX)
        );
    }

    #[test]
    fn durations_carry_their_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("0.5s"), Ok(Duration::from_millis(500)));
        for text in ["", "5", "ms", "-1s", "1 s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
