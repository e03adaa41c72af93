//! `train-demo`: the demo pair, from rendered pictures.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::terminal::stage;
use crate::workspace::Workspace;

/// Trains both networks in `minutes` and writes them to `models/`.
///
/// # Errors
///
/// If Python is missing, its packages cannot be installed, or the training fails.
pub fn train(workspace: &Workspace, minutes: u32) -> Result<()> {
    let (models, venv) = (workspace.root().join("models"), workspace.target().join("train-venv"));
    let python = venv.join("bin").join("python");
    if !python.exists() {
        stage("making a Python environment");
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(&venv);
        run(make).context("Debian's packages for this: python3 python3-venv")?;
    }
    stage("installing what the training needs");
    let mut install = Command::new(&python);
    install
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(models.join("train").join("requirements.txt"));
    run(install)?;
    stage("building the renderer");
    workspace.build_release(&["demo-renderer"])?;
    stage("training");
    let mut train = Command::new(&python);
    train
        .current_dir(&models)
        .args(["-m", "train.demo", "--minutes", &minutes.to_string(), "--data"])
        .arg(workspace.target().join("train-data"))
        .arg("--renderer")
        .arg(workspace.binary("demo-renderer"))
        .arg("--out")
        .arg(&models);
    run(train)
}

fn run(mut command: Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} failed ({status}): its messages above say why");
    }
    Ok(())
}
