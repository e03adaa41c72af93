//! Durations on the command line.

use std::time::Duration;

/// Reads `500ms`, `60s`, `2m`, `1h` or a bare number of seconds (Sedna's way), with a fraction if wanted.
///
/// # Errors
///
/// What is allowed, for anything else.
pub fn parse(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(expected()),
    };
    let seconds = number.parse::<f64>().map_err(|_| expected())? * factor;
    // A year; more is a slip of the keyboard, and keeps sums of times far from their limits.
    if seconds > 31_536_000.0 {
        return Err("must not be longer than a year".to_owned());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| expected())
}

/// Like [`parse`], but longer than zero.
///
/// # Errors
///
/// As [`parse`], and for zero.
pub fn parse_positive(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err("must be longer than zero".to_owned()),
        duration => Ok(duration),
    }
}

fn expected() -> String {
    "must be a duration such as 500ms, 60s, 2m or 1h; a bare number is seconds".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, ms) in [
            ("500ms", 500),
            ("60s", 60_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("3699", 3_699_000),
            ("0.5s", 500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-1s", "1 s", "1d", "1e3", "inf", "1.2.3s", "999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse_positive("0s").is_err());
    }
}
