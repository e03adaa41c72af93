//! Hard frames, the edge's boxes beside the cloud's.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::record::FrameRecord;

use super::Run;
use super::text::{bytes, time};
use crate::clock::minutes;

/// Pairs at most: enough to judge by, few enough for a page of some megabytes.
const PAIRS: usize = 12;

/// The gallery, pictures embedded; what to say instead if there are none.
pub fn html(run: &Run, directory: &Path) -> String {
    let answered: Vec<&(f64, FrameRecord)> =
        run.records.iter().filter(|(_, record)| record.hard && record.cloud.is_some()).collect();
    let pairs: String =
        spread(answered.len(), PAIRS).map(|i| answered[i]).filter_map(|r| pair(r, directory)).collect();
    if pairs.is_empty() {
        return r#"<p class="none">The cloud answered no hard frame in this run.</p>"#.into();
    }
    format!(r#"<div class="gallery"><h3>edge</h3><h3>cloud</h3>{pairs}</div>"#)
}

fn pair((t, record): &(f64, FrameRecord), directory: &Path) -> Option<String> {
    let picture = |of: &str| {
        let path = directory
            .join(format!("hard_example_{of}_inference_output"))
            .join(format!("{}.jpeg", record.frame));
        Some(format!("data:image/jpeg;base64,{}", STANDARD.encode(fs::read(path).ok()?)))
    };
    let (edge, cloud) = (picture("edge")?, picture("cloud")?);
    let at = minutes(std::time::Duration::from_secs_f64(t.max(0.0)));
    let boxes = |count: usize| format!("{count} {}", if count == 1 { "box" } else { "boxes" });
    let upload = record.upload.as_ref().map_or(String::new(), |upload| {
        format!(" · {} × {} JPEG of {}", upload.width, upload.height, bytes(upload.bytes))
    });
    Some(format!(
        r#"<figure><img src="{edge}" alt="frame {n} with the edge's boxes"><figcaption>frame {n} · {at} · {} after {}</figcaption></figure><figure><img src="{cloud}" alt="frame {n} with the cloud's boxes"><figcaption>{} after {}{upload}</figcaption></figure>"#,
        boxes(record.edge.len()),
        time(record.timing.edge_ms),
        boxes(record.cloud.as_ref().map_or(0, Vec::len)),
        time(record.timing.cloud_ms.unwrap_or_default()),
        n = record.frame,
    ))
}

/// At most `wanted` of `count` indices, evenly spread, first and last included.
fn spread(count: usize, wanted: usize) -> impl Iterator<Item = usize> {
    let taken = count.min(wanted);
    (0..taken).map(move |i| if taken > 1 { i * (count - 1) / (taken - 1) } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_over_the_run() {
        assert_eq!(spread(0, 12).count(), 0);
        assert_eq!(spread(1, 12).collect::<Vec<_>>(), [0]);
        assert_eq!(spread(3, 12).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(spread(101, 3).collect::<Vec<_>>(), [0, 50, 100]);
    }
}
