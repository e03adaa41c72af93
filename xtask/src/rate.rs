//! The uplink's rate as `run-all --rate` takes it.

use std::fmt;
use std::str::FromStr;

/// A limit on the uplink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// No shaper is started.
    Unlimited,
    /// Bits a second, every byte on the wire counted from the Ethernet header on.
    Limit(u64),
}

/// Units in bit/s, longest suffix first. As `tc` reads them: `bit` units are bits, `bps` units are bytes.
const UNITS: [(&str, f64); 14] = [
    ("kibit", 1024.0),
    ("mibit", 1_048_576.0),
    ("gibit", 1_073_741_824.0),
    ("kbit", 1e3),
    ("mbit", 1e6),
    ("gbit", 1e9),
    ("kibps", 8.0 * 1024.0),
    ("mibps", 8.0 * 1_048_576.0),
    ("kbps", 8e3),
    ("mbps", 8e6),
    ("gbps", 8e9),
    ("bit", 1.0),
    ("bps", 8.0),
    ("", 1.0),
];

impl Rate {
    /// The limit in bit/s, if there is one.
    pub fn bit_s(self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Limit(bits) => Some(bits),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        if lower == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let usage =
            || format!("`{text}` is not a rate: write 64kbit, 1.5mbit, 8kbps (kilobytes) or unlimited");
        let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
        let (number, unit) = lower.split_at(digits);
        let number: f64 = number.parse().map_err(|_| usage())?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(usage)?;
        let bits = (number * factor).round();
        if !(8.0..=1e12).contains(&bits) {
            return Err(format!("`{text}` is out of range: a rate is 8bit to 1000gbit"));
        }
        Ok(Self::Limit(bits as u64))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::Limit(bits) if bits % 1_000_000_000 == 0 => write!(f, "{}gbit", bits / 1_000_000_000),
            Self::Limit(bits) if bits % 1_000_000 == 0 => write!(f, "{}mbit", bits / 1_000_000),
            Self::Limit(bits) if bits % 1000 == 0 => write!(f, "{}kbit", bits / 1000),
            Self::Limit(bits) => write!(f, "{bits}bit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_tc_does() {
        let bits = |text: &str| text.parse::<Rate>().map(Rate::bit_s);
        assert_eq!(bits("64kbit"), Ok(Some(64_000)));
        assert_eq!(bits("1.5mbit"), Ok(Some(1_500_000)));
        assert_eq!(bits("8kbps"), Ok(Some(64_000)));
        assert_eq!(bits("1kibit"), Ok(Some(1024)));
        assert_eq!(bits("9600"), Ok(Some(9600)));
        assert_eq!(bits("Unlimited"), Ok(None));
        for wrong in ["", "kbit", "64 kbit", "-1kbit", "64kb", "0", "1e3kbit", "9999gbit"] {
            assert!(bits(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for rate in [
            Rate::Unlimited,
            Rate::Limit(64_000),
            Rate::Limit(2_000_000),
            Rate::Limit(1234),
            Rate::Limit(3_000_000_000),
        ] {
            assert_eq!(rate.to_string().parse(), Ok(rate));
        }
    }
}
