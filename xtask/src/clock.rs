//! Durations on the command line, and points in time.

use std::time::Duration;

/// Reads `500ms`, `60s`, `2m` or `1h`.
///
/// # Errors
///
/// Names the text and the forms that are taken.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let usage = || format!("`{text}` is not a duration: write 500ms, 60s, 2m or 1h");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| usage())?;
    let factor = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(usage()),
    };
    let seconds = number * factor;
    if seconds > 0.0 && seconds <= 7.0 * 86_400.0 {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("`{text}` is out of range: a duration is more than 0 and at most a week"))
    }
}

/// Seconds since 1970 of an RFC 3339 time in UTC, as `protocol::time::rfc3339` writes it.
pub fn parse_rfc3339(text: &str) -> Option<f64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.split(':');
    let hour: f64 = time.next()?.parse().ok()?;
    let minute: f64 = time.next()?.parse().ok()?;
    let second: f64 = time.next()?.parse().ok()?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970, the year taken to begin in March so that the leap day is its last.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468;
    Some(days as f64 * 86_400.0 + hour * 3600.0 + minute * 60.0 + second)
}

/// `mm:ss`, or `h:mm:ss` from an hour on.
pub fn minutes(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match seconds / 3600 {
        0 => format!("{:02}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        for wrong in ["", "60", "0s", "s", "-1s", "60 s", "1d", "9999h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn times_survive_writing_and_reading() {
        for ms in [0, 951_782_400_000, 1_700_000_000_123, 4_107_542_399_999_u64] {
            let text = protocol::time::rfc3339(UNIX_EPOCH + Duration::from_millis(ms));
            let read = parse_rfc3339(&text).unwrap();
            assert!((read - ms as f64 / 1000.0).abs() < 1e-3, "{text} read as {read}");
        }
        assert_eq!(parse_rfc3339("2026-13-01T00:00:00Z"), None);
        assert_eq!(parse_rfc3339("yesterday"), None);
    }

    #[test]
    fn elapsed() {
        assert_eq!(minutes(Duration::from_secs(83)), "01:23");
        assert_eq!(minutes(Duration::from_secs(3700)), "1:01:40");
    }
}
