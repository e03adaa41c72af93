//! An image as one file: the OCI image layout, with the manifest of `docker save` beside it, so that engines from before
//! the layout load it too.

use std::borrow::Cow;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::architecture::Architecture;
use super::recipe::{Health, Recipe};
use super::tar::Archive;

/// What an image holds besides its recipe.
#[derive(Debug)]
pub(super) struct Content<'a> {
    /// Archives of files, each laid over those before it; with what made each.
    pub(super) layers: Vec<(&'static str, Vec<u8>)>,
    /// The processor that its programs are for.
    pub(super) architecture: Architecture,
    /// Names of the image with tags.
    pub(super) names: Vec<String>,
    /// Labels besides the recipe's own.
    pub(super) labels: Vec<(&'static str, String)>,
    /// When it was made: seconds since 1970, and the same in RFC 3339.
    pub(super) time: (u64, &'a str),
}

/// The file of an image.
pub(super) fn write<'a>(recipe: &Recipe, content: &'a Content<'_>) -> Vec<u8> {
    let mut blobs: Vec<(String, Cow<'a, [u8]>)> = Vec::new();
    let mut blob = |bytes: Cow<'a, [u8]>| {
        let digest = hex(&Sha256::digest(&bytes));
        let size = bytes.len();
        blobs.push((digest.clone(), bytes));
        (digest, size)
    };
    let layers: Vec<_> = content.layers.iter().map(|(_, bytes)| blob(bytes.into())).collect();
    let config = config(recipe, content, layers.iter().map(|(digest, _)| digest.as_str()));
    let (config, config_size) = blob(bytes(&config).into());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config, config_size),
        "layers": layers
            .iter()
            .map(|(digest, size)| descriptor("application/vnd.oci.image.layer.v1.tar", digest, *size))
            .collect::<Vec<_>>(),
    });
    let (manifest, manifest_size) = blob(bytes(&manifest).into());
    let manifests: Vec<Value> = content
        .names
        .iter()
        .map(|name| {
            let mut entry =
                descriptor("application/vnd.oci.image.manifest.v1+json", &manifest, manifest_size);
            let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
            entry["platform"] = json!({"architecture": content.architecture.name(), "os": "linux"});
            entry["annotations"] = json!({
                "io.containerd.image.name": format!("docker.io/library/{name}"),
                "org.opencontainers.image.ref.name": tag,
            });
            entry
        })
        .collect();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    });
    let path = |digest: &str| format!("blobs/sha256/{digest}");
    let docker = json!([{
        "Config": path(&config),
        "RepoTags": content.names,
        "Layers": layers.iter().map(|(digest, _)| path(digest)).collect::<Vec<_>>(),
    }]);

    let mut archive = Archive::new(content.time.0);
    archive.folder("blobs", 0, 0o755);
    archive.folder("blobs/sha256", 0, 0o755);
    for (digest, bytes) in &blobs {
        archive.file(&path(digest), bytes);
    }
    archive.file("index.json", &bytes(&index));
    archive.file("manifest.json", &bytes(&docker));
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    archive.finish()
}

/// The image's configuration, as the OCI image specification has it, with Docker's health check.
fn config<'a>(recipe: &Recipe, content: &Content<'_>, layers: impl Iterator<Item = &'a str>) -> Value {
    let set = |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), json!({}))).collect::<Value>();
    let labels: Value = content.labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    let environment: Vec<_> = recipe.environment().map(|(key, value)| format!("{key}={value}")).collect();
    let mut health = vec!["CMD".to_owned()];
    health.extend(recipe.health_command());
    let mut config = json!({
        "User": recipe.user(),
        "Env": environment,
        "Entrypoint": [recipe.program_path()],
        "WorkingDir": recipe.directory,
        "Labels": labels,
        "StopSignal": "SIGTERM",
        "Healthcheck": {
            "Test": health,
            "Interval": Health::INTERVAL.as_nanos() as u64,
            "Timeout": Health::TIMEOUT.as_nanos() as u64,
            "StartPeriod": Health::START.as_nanos() as u64,
            "Retries": Health::RETRIES,
        },
    });
    if !recipe.ports.is_empty() {
        config["ExposedPorts"] = set(recipe.ports);
    }
    if !recipe.volumes.is_empty() {
        config["Volumes"] = set(recipe.volumes);
    }
    let history: Vec<_> = content
        .layers
        .iter()
        .map(|(what, _)| json!({"created": content.time.1, "created_by": "cargo xtask images", "comment": what}))
        .collect();
    json!({
        "created": content.time.1,
        "architecture": content.architecture.name(),
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": layers.map(|digest| format!("sha256:{digest}")).collect::<Vec<_>>()},
        "history": history,
    })
}

fn descriptor(media_type: &str, digest: &str, size: usize) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size})
}

fn bytes(value: &Value) -> Vec<u8> {
    // Without an alternate form, writing JSON values to memory cannot fail.
    value.to_string().into_bytes()
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
