//! What the documents and the files for deployment promise.

use std::path::PathBuf;

use clap::Parser as _;

use super::config;
use crate::{
    cli::{Cli, Command},
    config::Config,
};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_example_can_be_used() {
    let limits = Config::read(&path("deploy/shaper.toml")).unwrap().into_limits();
    let targets: Vec<String> = limits.iter().map(|spec| spec.target.to_string()).collect();
    assert_eq!(targets, ["container:edge", "iface:veth1"]);
}

#[test]
fn so_can_what_it_has_in_comments() {
    // Settings in comments begin right after the sign, prose after a space.
    let text = text("deploy/shaper.toml");
    let lines =
        text.lines().map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line));
    let everything = lines.collect::<Vec<_>>().join("\n");
    assert_eq!(config(&everything).limits().len(), 5, "{everything}");
}

#[test]
fn the_manuals_examples_can_be_used() {
    let text = text("docs/shaper-config.md");
    let examples: Vec<&str> =
        text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        assert!(!config(example).limits().is_empty(), "{example}");
    }
    // The faults that it shows are those of this file.
    let faulty = "[[limit]]\niface = \"veth1\"\nrate = 64000\nburst = \"soon\"\n\n[[limit]]\niface = \"veth1\"\nrate = \
                  \"1mbit\"\n[[limit]]\ncontaner = \"edge\"\nrate = \"1mbit\"\n";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shaper.toml");
    std::fs::write(&file, faulty).unwrap();
    let message = Config::read(&file).unwrap_err().to_string();
    let message = message.replace(&file.display().to_string(), "/etc/sluice/shaper.toml");
    assert!(text.contains(&format!("shaper-agent: {message}\n")), "{message}");
}

#[test]
fn the_manual_names_every_setting() {
    let text = text("docs/shaper-config.md");
    for key in super::super::settings::Partial::KEYS {
        assert!(text.contains(&format!("\n| `{key}` |")), "{key}");
    }
    for kind in crate::spec::Target::KINDS {
        assert!(text.contains(&format!("\n| `{kind} = ")), "{kind}");
    }
}

#[test]
fn the_service_calls_the_agent_as_it_can_be_called() {
    let unit = text("deploy/systemd/sluice-shaper.service");
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let call = value("ExecStart").unwrap();
    let Some(Command::Run(options)) = Cli::try_parse_from(call.split(' ')).unwrap().command else {
        panic!("{call} does not hold the limits of a file");
    };
    assert_eq!(options.config, PathBuf::from("/etc/sluice/shaper.toml"));
    assert!(options.keep, "limits must outlive a restart");
    assert_eq!(value("ExecStopPost"), None);
    assert_eq!(value("Type"), Some("notify"));
    // It would make the BPF file system read-only.
    assert_eq!(value("ProtectKernelTunables"), None);
}
