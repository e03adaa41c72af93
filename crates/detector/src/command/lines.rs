//! Detections as lines: for people, and as JSON.

use std::io::Write;

use anyhow::Result;
use protocol::Detection;
use serde::Serialize;

/// How many there are, in words.
pub(super) fn count(detections: &[Detection]) -> String {
    match detections.len() {
        0 => "nothing".to_owned(),
        1 => "1 object".to_owned(),
        count => format!("{count} objects"),
    }
}

/// A line for each: class, score, corners.
pub(super) fn write_detections(output: &mut dyn Write, detections: &[Detection]) -> Result<()> {
    let longest = detections.iter().map(|found| found.class.chars().count()).max().unwrap_or(0);
    for Detection { class, score, bbox, .. } in detections {
        writeln!(
            output,
            "  {class:longest$}  {score:.3}  {:7.1} {:7.1}  to {:7.1} {:7.1}",
            bbox.x_min, bbox.y_min, bbox.x_max, bbox.y_max
        )?;
    }
    Ok(())
}

/// One value as a line of JSON.
pub(super) fn write_json(output: &mut dyn Write, value: &impl Serialize) -> Result<()> {
    let mut json = serde_json::to_vec(value)?;
    json.push(b'\n');
    // Whole lines, and at once: whoever waits for them gets them.
    output.write_all(&json)?;
    Ok(output.flush()?)
}
