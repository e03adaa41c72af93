//! Flags and environment resolved into what the parts need: made once, before anything starts.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use detector::LoadOptions;
use model_source::Source;

use crate::{
    cli::RunArgs,
    http_url::HttpUrl,
    mining::{Mining, Parameters},
    report::ReportSettings,
    results::ResultsSettings,
    source::{Location, SourceSettings},
    uplink::UplinkSettings,
};

/// Everything that a run needs to know.
#[derive(Debug)]
pub struct Settings {
    /// The video.
    pub source: SourceSettings,
    /// Where the little model is.
    pub model: Arc<Source>,
    /// How to load it.
    pub load: LoadOptions,
    /// Which frames are hard.
    pub mining: Mining,
    /// The cloud; none if no frame is ever hard.
    pub uplink: Option<UplinkSettings>,
    /// Where results go.
    pub results: ResultsSettings,
    /// Sedna's local controller.
    pub report: Option<ReportSettings>,
    /// Stop after this time.
    pub duration: Option<Duration>,
    /// Where health and metrics are served.
    pub listen: Option<SocketAddr>,
    /// Print counters as JSON.
    pub status_json: bool,
    /// What the user should know, for the log.
    pub notes: Vec<String>,
}

impl Settings {
    /// Resolves `args`.
    ///
    /// # Errors
    ///
    /// Which flag or variable cannot be used, and why.
    pub fn resolve(args: RunArgs) -> Result<Self, String> {
        let video_url = args.video_url.as_deref().ok_or(
            "no video: give --video-url (or the environment variable video_url): rtsp://…, a file, or v4l2:///dev/video0",
        )?;
        let location: Location = match video_url.parse() {
            Ok(location) => location,
            Err(never) => match never {},
        };
        let model =
            args.model.source().ok_or("no model: give --model (or the environment variable MODEL_URL)")?;
        if location.is_live() && (args.unpaced || args.repeat) {
            return Err(format!(
                "--unpaced and --loop are for files; {location} has its own pace and no end"
            ));
        }
        let mut notes = Vec::new();
        let mining = mining(&args, &mut notes)?;
        let uplink = uplink(&args, &mining)?;
        let report = report(&args)?;
        if args.super_big_model_ip.is_some() {
            notes.push("SUPER_BIG_MODEL_IP is set; a second cloud tier is not used yet".to_owned());
        }
        Ok(Self {
            source: SourceSettings {
                location,
                transport: args.rtsp_transport,
                rtsp_latency: args.rtsp_latency,
                stall: args.stall,
                unpaced: args.unpaced,
                repeat: args.repeat,
            },
            model: Arc::new(model),
            load: LoadOptions {
                device: args.device,
                input: args.input_shape,
                threads: args.threads,
                precision: args.precision,
                weights_memory: args.weights_memory.map(|megabytes| megabytes.saturating_mul(1_000_000)),
                classes: Some(args.classes.clone()).filter(|names| names.iter().any(|name| !name.is_empty())),
                ..LoadOptions::default()
            },
            mining,
            uplink,
            results: results(&args),
            report,
            duration: args.duration,
            listen: args.listen,
            status_json: args.status_json,
            notes,
        })
    }
}

fn mining(args: &RunArgs, notes: &mut Vec<String>) -> Result<Mining, String> {
    let parameters = Parameters::parse(&args.hem_parameters)
        .map_err(|error| format!("--hem-parameters (HEM_PARAMETERS): {error}"))?;
    let mining = Mining::new(&args.hem_name, &parameters)
        .map_err(|error| format!("--hem-name (HEM_NAME), --hem-parameters (HEM_PARAMETERS): {error}"))?;
    for key in parameters.unknown(mining.keys()) {
        notes
            .push(format!("mining {} has no parameter {key:?}; it is ignored, as Sedna does", args.hem_name));
    }
    Ok(mining)
}

fn uplink(args: &RunArgs, mining: &Mining) -> Result<Option<UplinkSettings>, String> {
    if *mining == Mining::EdgeOnly {
        return Ok(None);
    }
    let cloud = match (&args.cloud_url, &args.big_model_ip) {
        (Some(url), _) => url.clone(),
        (None, Some(host)) => host_url(host, args.big_model_port)
            .map_err(|error| format!("--big-model-ip (BIG_MODEL_IP) {host:?}: {error}"))?,
        (None, None) => {
            return Err("no cloud: give --cloud-url (or the environment variable BIG_MODEL_IP), or --hem-name EdgeOnly \
                        to do without"
                .to_owned());
        }
    };
    Ok(Some(UplinkSettings {
        cloud,
        capacity: args.queue.get(),
        wait_for_room: args.unpaced,
        deadline: args.deadline,
        uploads: args.uploads.get(),
        size: args.upload_size,
        quality: args.upload_quality,
        drain: args.drain,
    }))
}

fn host_url(host: &str, port: u16) -> Result<HttpUrl, String> {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("http://[{address}]:{port}").parse(),
        _ if host.contains(['/', '@', ':', '?', '#']) => Err("must be an address or a host name".to_owned()),
        _ => format!("http://{host}:{port}").parse(),
    }
}

fn results(args: &RunArgs) -> ResultsSettings {
    let above = args.all_examples_output.as_ref().and_then(|path| path.parent()).map(PathBuf::from);
    let directory = args.out.clone().or(above).unwrap_or_else(|| PathBuf::from("output"));
    let or_in_out =
        |given: &Option<PathBuf>, name: &str| given.clone().unwrap_or_else(|| directory.join(name));
    ResultsSettings {
        all: or_in_out(&args.all_examples_output, "all_examples_inference_output"),
        hard_edge: or_in_out(&args.hard_edge_output, "hard_example_edge_inference_output"),
        hard_cloud: or_in_out(&args.hard_cloud_output, "hard_example_cloud_inference_output"),
        keep_pictures: args.keep_pictures,
        directory,
    }
}

fn report(args: &RunArgs) -> Result<Option<ReportSettings>, String> {
    let Some(server) = &args.lc_server else { return Ok(None) };
    let server = server.parse().map_err(|error| format!("--lc-server (LC_SERVER) {server:?}: {error}"))?;
    Ok(Some(ReportSettings {
        server,
        period: args.lc_period,
        worker: args.worker_name.clone(),
        namespace: args.namespace.clone(),
        service: args.service_name.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn resolve(arguments: &[&str]) -> Result<Settings, String> {
        let all = [&["edge-daemon", "--video-url", "rtsp://c/v", "--model", "m"], arguments].concat();
        Settings::resolve(Cli::try_parse_from(all).unwrap().run)
    }

    #[test]
    fn the_cloud_by_url_or_by_sednas_names() {
        let cloud = |arguments: &[&str]| resolve(arguments).unwrap().uplink.unwrap().cloud.to_string();
        assert_eq!(cloud(&["--big-model-ip", "10.0.0.1"]), "http://10.0.0.1:5000");
        assert_eq!(cloud(&["--big-model-ip", "fd00::1", "--big-model-port", "80"]), "http://[fd00::1]");
        assert_eq!(cloud(&["--big-model-ip", "x", "--cloud-url", "http://y:1"]), "http://y:1");
        assert!(resolve(&["--big-model-ip", "http://x"]).unwrap_err().contains("BIG_MODEL_IP"));
        assert!(resolve(&[]).unwrap_err().contains("no cloud"));
        assert!(resolve(&["--hem-name", "EdgeOnly"]).unwrap().uplink.is_none());
    }

    #[test]
    fn results_stand_beside_sednas_directories() {
        let results =
            |arguments: &[&str]| resolve(&[&["--hem-name", "EdgeOnly"], arguments].concat()).unwrap().results;
        assert_eq!(results(&[]).hard_edge, PathBuf::from("output/hard_example_edge_inference_output"));
        assert_eq!(
            results(&["--all-examples-output", "/data/output/output"]).directory,
            PathBuf::from("/data/output")
        );
        assert_eq!(results(&["--out", "/o", "--all-examples-output", "/p/q"]).directory, PathBuf::from("/o"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let error = |arguments: &[&str]| resolve(arguments).unwrap_err();
        assert!(error(&["--hem-name", "CrossEntropy"]).contains("class probabilities"));
        assert!(error(&["--hem-parameters", "x"]).contains("HEM_PARAMETERS"));
        assert!(error(&["--hem-name", "EdgeOnly", "--unpaced"]).contains("files"));
        assert!(error(&["--hem-name", "EdgeOnly", "--lc-server", "x"]).contains("LC_SERVER"));
    }

    #[test]
    fn unknown_parameters_are_noted() {
        let notes = resolve(&["--hem-name", "EdgeOnly", "--hem-parameters", r#"[{"key":"a","value":"1"}]"#]);
        assert!(notes.unwrap().notes[0].contains("\"a\""));
    }
}
