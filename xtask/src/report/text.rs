//! Numbers and text for readers.

use crate::summary::Summary;

/// `text` safe in HTML, in attributes too.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// Milliseconds: `128 ms`, or from one second on `3.2 s`.
pub fn time(ms: f64) -> String {
    if ms >= 1000.0 { format!("{:.1} s", ms / 1000.0) } else { format!("{ms:.0} ms") }
}

/// Bytes: `812 B`, `7.9 kB`, `1.2 MB`; k = 1000.
pub fn bytes(count: u64) -> String {
    let count = count as f64;
    match count {
        ..1e3 => format!("{count} B"),
        ..1e6 => format!("{:.1} kB", count / 1e3),
        ..1e9 => format!("{:.1} MB", count / 1e6),
        _ => format!("{:.2} GB", count / 1e9),
    }
}

/// A rate: `61.8 kbit/s`, `12.3 Mbit/s`.
pub fn rate(bit_s: f64) -> String {
    let (factor, unit) = crate::run::samples::scale(bit_s);
    format!("{} {unit}", short(bit_s / factor))
}

/// One decimal where there is one to tell.
pub fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// How much of its limit the uplink's mean used: `98.8 % of 64 kbit/s`; nothing without a limit. A mean above the limit
/// holds the burst, which counts for more the shorter the run is, and says so.
pub fn use_of_limit(summary: &Summary) -> Option<String> {
    let limit = summary.rate_bit_s? as f64;
    let mean = summary.uplink.mean_bit_s;
    let burst = summary.burst_bytes.filter(|_| mean > limit);
    let burst = burst.map_or_else(String::new, |burst| format!(", its burst of {} included", bytes(burst)));
    Some(format!("{:.1} % of {}{burst}", 100.0 * mean / limit, rate(limit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_above_the_limit_names_the_burst() {
        let mut summary = crate::summary::tests::example();
        assert_eq!(use_of_limit(&summary).as_deref(), Some("99.3 % of 64 kbit/s"));
        summary.uplink.mean_bit_s = 65_920.0;
        assert_eq!(
            use_of_limit(&summary).as_deref(),
            Some("103.0 % of 64 kbit/s, its burst of 3.0 kB included")
        );
        summary.rate_bit_s = None;
        assert_eq!(use_of_limit(&summary), None);
    }

    #[test]
    fn html_cannot_be_broken_out_of() {
        assert_eq!(escape(r#"<a href="x">&'</a>"#), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;&lt;/a&gt;");
        assert_eq!(escape("Bauhelm · größer"), "Bauhelm · größer");
    }

    #[test]
    fn numbers() {
        assert_eq!((time(128.4), time(3210.0)), ("128 ms".into(), "3.2 s".into()));
        assert_eq!(
            (bytes(812), bytes(7900), bytes(1_200_000)),
            ("812 B".into(), "7.9 kB".into(), "1.2 MB".into())
        );
        assert_eq!((rate(61_840.0), rate(64_000.0)), ("61.8 kbit/s".into(), "64 kbit/s".into()));
    }
}
