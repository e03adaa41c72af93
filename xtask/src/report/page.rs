//! The page itself.

use std::path::Path;

use super::text::{bytes, escape, rate, short, time, use_of_limit};
use super::{Run, gallery, plots};
use crate::run::model::ModelFacts;

const STYLE: &str = include_str!("style.css");

/// The whole page. Every text from outside is escaped.
pub fn html(run: &Run, directory: &Path) -> String {
    let summary = &run.summary;
    let title = match summary.rate_bit_s {
        Some(limit) => format!("Cloud-edge inference behind {}", rate(limit as f64)),
        None => "Cloud-edge inference without a limit".to_owned(),
    };
    let cut = if summary.interrupted { " · ended early" } else { "" };
    let lead = format!("{} · {} s · {}{cut}", summary.started_at, short(summary.duration_s), summary.video);
    let accuracy = match &summary.accuracy {
        Some(accuracy) => section(
            "Accuracy",
            &format!(
                "Average precision at IoU 0.5 over the {} frames of this run that have ground truth. <b>edge</b>: the \
                 little model alone. <b>joint</b>: each frame's final result, the cloud's where it answered. \
                 <b>cloud</b>: the big model on every one of these frames, as if there were no limit.",
                accuracy.frames_scored
            ),
            &plots::accuracy(run),
        ),
        None => String::new(),
    };
    let (uplink, shares) = (
        uplink(run),
        section("Frames", "What became of the frames that the edge judged.", &plots::outcomes(run)),
    );
    let latency = section(
        "Latency",
        "From a frame's arrival at the edge to its result.",
        &pair("edge result", &plots::edge_latency(run), "cloud answer", &plots::cloud_latency(run)),
    );
    let queue = section(
        "Hard frames",
        "The share that the mining found hard, and how many waited for the uplink.",
        &pair("share of hard frames", &plots::hard_share(run), "waiting", &plots::queue(run)),
    );
    let gallery = section(
        "Seen by both",
        "Hard frames that the cloud answered, spread over the run.",
        &gallery::html(run, directory),
    );
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Sluice: {title}</title>\
         <style>{STYLE}</style></head><body><main><header><p class=\"brand\">Sluice</p><h1>{title}</h1>\
         <p class=\"lead\">{}</p></header>{}{uplink}{shares}{latency}{queue}{accuracy}{gallery}{}</main></body></html>\n",
        escape(&lead),
        tiles(run),
        facts(run),
    )
}

fn section(title: &str, text: &str, body: &str) -> String {
    format!("<section><h2>{title}</h2><p>{text}</p>{body}</section>")
}

fn pair(left: &str, left_svg: &str, right: &str, right_svg: &str) -> String {
    format!(
        r#"<div class="pair"><div><h3>{left}</h3>{left_svg}</div><div><h3>{right}</h3>{right_svg}</div></div>"#
    )
}

fn uplink(run: &Run) -> String {
    let uplink = &run.summary.uplink;
    let waiting = uplink.hard_waiting_mean_bit_s.map_or(String::new(), |mean| {
        format!(" While hard frames were waiting ({:.0} s) it was {}.", uplink.hard_waiting_s, rate(mean))
    });
    let text = format!(
        "Bytes that reached the host's bridge in each second, from a packet trace behind the limit: {} in all, {} on \
         average.{waiting} The busiest second had {}; the limit took {} packets.",
        bytes(uplink.bytes),
        rate(uplink.mean_bit_s),
        rate(uplink.peak_1s_bit_s),
        uplink.dropped_packets
    );
    section("Uplink", &text, &plots::uplink(run))
}

fn tiles(run: &Run) -> String {
    let summary = &run.summary;
    let (frames, uplink, latency) = (&summary.frames, &summary.uplink, &summary.latency_ms);
    let seconds = summary.duration_s.max(1e-3);
    let share = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
    let time_of = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), time);
    let use_of = use_of_limit(summary).unwrap_or_else(|| "no limit".to_owned());
    let mut tiles = vec![
        (
            "camera",
            format!("{:.1}/s", frames.captured as f64 / seconds),
            format!("{} frames", frames.captured),
        ),
        (
            "judged at the edge",
            format!("{:.1}/s", frames.inferred as f64 / seconds),
            format!("{} frames", frames.inferred),
        ),
        ("hard", format!("{:.0} %", share(frames.hard, frames.inferred)), format!("{} frames", frames.hard)),
        ("answered by the cloud", frames.answered.to_string(), format!("of {} uploaded", frames.uploaded)),
        ("uplink", rate(uplink.mean_bit_s), use_of),
        ("edge result", time_of(latency.edge_p50), format!("95 % within {}", time_of(latency.edge_p95))),
        ("cloud answer", time_of(latency.cloud_p50), format!("95 % within {}", time_of(latency.cloud_p95))),
    ];
    tiles.push(match &summary.accuracy {
        Some(accuracy) => (
            "accuracy, joint",
            format!("{:.3}", accuracy.map50_joint),
            format!("edge {:.3} · cloud {:.3}", accuracy.map50_edge, accuracy.map50_cloud),
        ),
        None => (
            "busiest second",
            rate(uplink.peak_1s_bit_s),
            format!("{} packets dropped", uplink.dropped_packets),
        ),
    });
    let tiles: String = tiles
        .iter()
        .map(|(name, value, note)| {
            format!(
                "<div><span>{name}</span><strong>{}</strong><small>{}</small></div>",
                escape(value),
                escape(note)
            )
        })
        .collect();
    format!(r#"<div class="tiles">{tiles}</div>"#)
}

fn facts(run: &Run) -> String {
    let summary = &run.summary;
    let model = |facts: &ModelFacts| {
        format!(
            "{} ({}, width {}, input {}) · {}",
            facts.name, facts.family, facts.width, facts.input, facts.file
        )
    };
    let rows = [
        ("edge model", model(&summary.models.little)),
        ("cloud model", model(&summary.models.big)),
        ("hard-example mining", format!("{} {}", summary.hem.name, summary.hem.parameters)),
        ("rate", summary.rate.clone()),
        (
            "machine",
            format!(
                "{}, {} CPUs, Linux {}",
                summary.machine.cpu, summary.machine.cpus, summary.machine.kernel
            ),
        ),
        ("sources", summary.commit.clone().unwrap_or_else(|| "no checkout".into())),
        (
            "measured by",
            format!(
                "packet trace, {} counted as the links do; the links' own counters, {}",
                bytes(summary.uplink.trace_bytes),
                bytes(summary.uplink.counter_bytes)
            ),
        ),
    ];
    let rows: String =
        rows.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", escape(value))).collect();
    section("This run", "", &format!("<dl>{rows}</dl>")).replace("<p></p>", "")
}
