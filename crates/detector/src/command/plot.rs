//! Precision-recall curves as SVG.

use std::fmt::Write;

use crate::evaluate::{RECALLS, Summary};

/// Colours that stay apart for colour-blind eyes (Okabe and Ito, "Color Universal Design", 2008).
const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#a08000"];
/// Dashes tell more classes apart than there are colours.
const DASHES: [&str; 3] = ["none", "7 3", "2 3"];
/// Where the curves are: left, top, and the length of each axis.
const LEFT: f64 = 56.0;
const TOP: f64 = 36.0;
const SIDE: f64 = 400.0;
/// Between two lines of the legend.
const LINE: f64 = 18.0;

/// The curves at an IoU of 0.5 of all classes that have objects, best class first.
pub(super) fn svg(summary: &Summary) -> String {
    let mut classes: Vec<_> = summary
        .classes
        .iter()
        .filter_map(|class| Some((class, class.curve50.as_ref()?, class.ap50?)))
        .collect();
    classes.sort_by(|a, b| b.2.total_cmp(&a.2));
    let width = LEFT + SIDE + 260.0;
    let height = (TOP + SIDE + 52.0).max(TOP + classes.len() as f64 * LINE + 20.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    axes(&mut svg);
    for (index, (class, curve, ap50)) in classes.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let dash = DASHES[index / COLOURS.len() % DASHES.len()];
        let stroke =
            format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"");
        let points: Vec<String> = curve
            .iter()
            .enumerate()
            .map(|(step, precision)| {
                let (x, y) =
                    (LEFT + SIDE * step as f64 / (RECALLS - 1) as f64, TOP + SIDE * (1.0 - precision));
                format!("{x:.1},{y:.1}")
            })
            .collect();
        let (x, y) = (LEFT + SIDE + 20.0, TOP + 8.0 + index as f64 * LINE);
        let (end, text, base) = (x + 24.0, x + 32.0, y + 4.0);
        let name = escaped(&class.class);
        push(&mut svg, format_args!("<polyline points=\"{}\" {stroke}/>", points.join(" ")));
        push(&mut svg, format_args!("<line x1=\"{x}\" y1=\"{y}\" x2=\"{end}\" y2=\"{y}\" {stroke}/>"));
        push(&mut svg, format_args!("<text x=\"{text}\" y=\"{base}\">{name}  {ap50:.3}</text>"));
    }
    svg.push_str("</svg>\n");
    svg
}

/// Grid, numbers and names.
fn axes(svg: &mut String) {
    let (right, bottom) = (LEFT + SIDE, TOP + SIDE);
    for tenth in (0..=10).step_by(2) {
        let value = f64::from(tenth) / 10.0;
        let (x, y) = (LEFT + SIDE * value, bottom - SIDE * value);
        let grid = "stroke=\"#ddd\"";
        push(svg, format_args!("<line x1=\"{x}\" y1=\"{TOP}\" x2=\"{x}\" y2=\"{bottom}\" {grid}/>"));
        push(svg, format_args!("<line x1=\"{LEFT}\" y1=\"{y}\" x2=\"{right}\" y2=\"{y}\" {grid}/>"));
        let (below, beside, base) = (bottom + 18.0, LEFT - 8.0, y + 4.0);
        push(svg, format_args!("<text x=\"{x}\" y=\"{below}\" text-anchor=\"middle\">{value}</text>"));
        push(svg, format_args!("<text x=\"{beside}\" y=\"{base}\" text-anchor=\"end\">{value}</text>"));
    }
    let (middle, below) = (LEFT + SIDE / 2.0, bottom + 40.0);
    push(svg, format_args!("<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">recall</text>"));
    push(
        svg,
        format_args!(
            "<text x=\"{LEFT}\" y=\"20\">precision, at an IoU of 0.5; average precision by class</text>"
        ),
    );
}

fn push(svg: &mut String, element: std::fmt::Arguments<'_>) {
    // Writing into memory does not fail.
    let _ = writeln!(svg, "{element}");
}

/// Text as XML holds it; characters that it cannot hold become spaces.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            character if character.is_control() => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::ClassSummary;

    fn class(name: &str, precision: Option<f64>) -> ClassSummary {
        ClassSummary {
            class: name.into(),
            objects: 1,
            ap50: precision,
            ap50_95: precision,
            curve50: precision.map(|precision| [precision; RECALLS]),
        }
    }

    #[test]
    fn every_class_with_objects_has_a_curve_and_a_name() {
        let classes = vec![class("a<b>&c", Some(0.25)), class("best", Some(1.0)), class("none", None)];
        let svg = svg(&Summary { classes, map50: None, map50_95: None });
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains(">a&lt;b&gt;&amp;c  0.250<") && !svg.contains("none  "), "{svg}");
        assert!(svg.find("best  1.000").unwrap() < svg.find("0.250<").unwrap());
        // Precision 1 is the top, from the left end to the right one.
        assert!(svg.contains("points=\"56.0,36.0 60.0,36.0 ") && svg.contains(" 456.0,36.0\""), "{svg}");
    }
}
