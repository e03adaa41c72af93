//! A small plot as inline SVG: axes with round ticks, and marks of a few kinds. Colours are the style sheet's.

use std::fmt::Write;

use super::text::{escape, short};

/// Room around the plotting area: left for the numbers, above for their unit.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 34.0;

/// A plot from 0 to a maximum on both axes.
#[derive(Debug)]
pub struct Plot {
    width: f64,
    height: f64,
    x_max: f64,
    y_max: f64,
    name: String,
    marks: String,
    labels: String,
}

impl Plot {
    /// An empty plot of `width` × `height` units; `name` is read out to those who cannot see it. The y axis
    /// reaches to the round number above `y_max`.
    pub fn new(name: &str, (width, height): (f64, f64), x_max: f64, y_max: f64) -> Self {
        let y_max = y_max.max(f64::MIN_POSITIVE);
        let step = step(y_max, 4);
        let name = escape(name);
        let (x_max, y_max) = (x_max.max(1.0), (y_max / step - 1e-9).ceil() * step);
        Self { width, height, x_max, y_max, name, marks: String::new(), labels: String::new() }
    }

    fn x(&self, x: f64) -> f64 {
        LEFT + (self.width - LEFT - RIGHT) * (x / self.x_max).clamp(0.0, 1.0)
    }

    fn y(&self, y: f64) -> f64 {
        TOP + (self.height - TOP - BOTTOM) * (1.0 - (y / self.y_max).clamp(0.0, 1.0))
    }

    /// An area in steps: each value holds from its x to the next one's.
    #[must_use]
    pub fn steps(mut self, points: &[(f64, f64)], end: f64, class: &str) -> Self {
        let mut path = format!("M{:.1} {:.1}", self.x(points.first().map_or(0.0, |p| p.0)), self.y(0.0));
        for (i, &(x, y)) in points.iter().enumerate() {
            let next = points.get(i + 1).map_or(end, |point| point.0);
            path += &format!("L{:.1} {1:.1}L{2:.1} {1:.1}", self.x(x), self.y(y), self.x(next));
        }
        path += &format!("L{:.1} {:.1}Z", self.x(end), self.y(0.0));
        self.marks += &format!(r#"<path class="area {class}" d="{path}"/>"#);
        self
    }

    /// A line through the points.
    #[must_use]
    pub fn line(mut self, points: &[(f64, f64)], class: &str) -> Self {
        let points: Vec<String> =
            points.iter().map(|&(x, y)| format!("{:.1},{:.1}", self.x(x), self.y(y))).collect();
        self.marks += &format!(r#"<polyline class="line {class}" points="{}"/>"#, points.join(" "));
        self
    }

    /// A dot at each point, with its note.
    #[must_use]
    pub fn dots(mut self, points: &[(f64, f64, String)], radius: f64, class: &str) -> Self {
        for (x, y, note) in points {
            self.marks += &format!(
                r#"<circle class="dot {class}" cx="{:.1}" cy="{:.1}" r="{radius}"><title>{}</title></circle>"#,
                self.x(*x),
                self.y(*y),
                escape(note)
            );
        }
        self
    }

    /// A horizontal line with a label above its right end (`below`: under it).
    #[must_use]
    pub fn rule(mut self, y: f64, label: &str, class: &str, below: bool) -> Self {
        let at = self.y(y);
        let right = self.width - RIGHT;
        self.marks +=
            &format!(r#"<line class="rule {class}" x1="{LEFT}" x2="{right}" y1="{at:.1}" y2="{at:.1}"/>"#);
        let at = if below { at + 14.0 } else { at - 5.0 };
        self.labels += &format!(
            r#"<text class="label {class}" x="{:.1}" y="{at:.1}" text-anchor="end">{}</text>"#,
            right - 4.0,
            escape(label)
        );
        self
    }

    /// The SVG, with `y_unit` on the y axis; the x axis is in seconds.
    pub fn svg(self, y_unit: &str) -> String {
        let (width, height) = (self.width, self.height);
        let mut grid = String::new();
        for value in ticks(self.y_max, 4) {
            let y = self.y(value);
            write!(
                grid,
                r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                width - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                number(value)
            )
            .ok();
        }
        for value in ticks(self.x_max, 7) {
            write!(
                grid,
                r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{} s</text>"#,
                self.x(value),
                height - BOTTOM + 20.0,
                number(value)
            )
            .ok();
        }
        let axis = self.y(0.0);
        format!(
            r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{}"><g class="axes">{grid}<line class="axis" x1="{LEFT}" x2="{:.1}" y1="{axis:.1}" y2="{axis:.1}"/></g>{}{}<text class="unit" x="{:.1}" y="12" text-anchor="end">{}</text></svg>"#,
            self.name,
            width - RIGHT,
            self.marks,
            self.labels,
            LEFT - 8.0,
            escape(y_unit)
        )
    }
}

/// A round step (1, 2 or 5 times a power of ten) that divides 0 to `max` into at most about `count` parts.
fn step(max: f64, count: u32) -> f64 {
    let raw = max / f64::from(count);
    let power = 10_f64.powf(raw.log10().floor());
    let factor =
        [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= raw * 0.999).unwrap_or(10.0);
    factor * power
}

fn ticks(max: f64, count: u32) -> impl Iterator<Item = f64> {
    let step = step(max, count);
    (0..=(max / step + 1e-9) as u32).map(move |i| f64::from(i) * step)
}

fn number(value: f64) -> String {
    if value == 0.0 || value >= 1.0 { short(value) } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let of = |max, count| ticks(max, count).collect::<Vec<_>>();
        assert_eq!(of(80.0, 4), [0.0, 20.0, 40.0, 60.0, 80.0]);
        assert_eq!(of(60.0, 6), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(of(7.0, 4), [0.0, 2.0, 4.0, 6.0]);
        assert!(of(1e-9, 4).len() > 2);
    }

    #[test]
    fn marks_stay_inside_and_notes_are_escaped() {
        let plot = Plot::new("a < b", (500.0, 200.0), 10.0, 3.0)
            .dots(&[(20.0, 100.0, "<script>".into())], 2.0, "edge")
            .rule(2.0, "p50 & more", "edge", false);
        let svg = plot.svg("ms");
        assert!(svg.contains(r#"cx="486.0" cy="28.0""#), "{svg}");
        assert!(svg.contains("&lt;script&gt;") && !svg.contains("<script>"), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.contains("p50 &amp; more"), "{svg}");
    }

    #[test]
    fn nothing_to_plot_is_a_plot() {
        let svg =
            Plot::new("empty", (500.0, 200.0), 0.0, 0.0).steps(&[], 0.0, "uplink").line(&[], "x").svg("");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
    }
}
