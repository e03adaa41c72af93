//! Container images, made without a container engine and without a registry: files that `docker load` takes.
//!
//! An image has one program, the libraries that it needs, found as the dynamic loader finds them, the GStreamer plugins
//! that it uses, and nothing else: no shell, no package manager. The same sources on the same system give the same bytes.
//!
//! # Layout
//!
//! - `recipe`: what each image is made of
//! - `programs`: building the programs
//! - `system`, `elf`: libraries, plugins and the Debian packages that they belong to
//! - `sysroot`: those of another processor than this machine's
//! - `tree`, `tar`, `archive`: from files to one file that engines load
//! - `sbom`: what is in an image
//! - `engine`: handing images to an engine
//! - [`mod@dockerfile`]: the same for `docker build`
//! - `architecture`: processors

pub mod architecture;
mod archive;
pub mod dockerfile;
mod elf;
pub mod engine;
pub(crate) mod programs;
mod recipe;
mod sbom;
mod sysroot;
mod system;
mod tar;
mod tree;

pub use recipe::USER;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::cli::{Images, Load};
use crate::interrupt::Interrupt;
use crate::machine;
use crate::terminal::stage;
use crate::workspace::Workspace;
use architecture::Architecture;
use archive::Content;
use recipe::{HOME, Linkage, RECIPES, Recipe};
use sbom::Crate;
use sysroot::Sysroot;
use system::{Package, System};
use tree::Tree;

/// Makes the images that `options` asks for.
///
/// # Errors
///
/// A program cannot be built, a library is not there, an image cannot be written or loaded, or the work is interrupted.
pub fn images(workspace: &Workspace, options: &Images, interrupt: &Interrupt) -> Result<()> {
    if options.dockerfile {
        let path = workspace.root().join(dockerfile::PATH);
        return fs::write(&path, dockerfile::text())
            .with_context(|| format!("cannot write {}", path.display()));
    }
    let recipes = wanted(&options.only)?;
    let architecture = match options.arch {
        Some(architecture) => architecture,
        None => {
            Architecture::of_this_machine().context("images are made for amd64 and arm64: give --arch")?
        }
    };
    stage("building");
    let is_ours = Architecture::of_this_machine() == Some(architecture);
    let is_dynamic =
        options.binaries.is_some() || recipes.iter().any(|recipe| recipe.linkage == Linkage::Dynamic);
    let sysroot =
        (is_dynamic && !is_ours).then(|| Sysroot::make(workspace, architecture, interrupt)).transpose()?;
    let programs = match &options.binaries {
        Some(folder) => recipes.iter().map(|recipe| folder.join(recipe.package)).collect(),
        None => programs::build(workspace, &recipes, architecture, sysroot.as_ref())
            .or_else(|error| interrupt.check().and(Err(error)))?,
    };
    stage("making images");
    let tags = options.tag.as_deref().map_or(vec!["latest", VERSION], |tag| vec![tag]);
    let root = sysroot.as_ref().map_or(Path::new("/"), Sysroot::root);
    let maker = Maker::new(workspace, architecture, root, options.binaries.is_some(), tags)?;
    let out = match &options.out {
        Some(out) => std::path::absolute(out)?,
        None => workspace.target().join("images"),
    };
    let mut files = Vec::new();
    for (recipe, program) in recipes.iter().zip(&programs) {
        interrupt.check()?;
        let image = maker.make(recipe, program)?;
        if let Some(folder) = &options.tree {
            let folder = folder.join(recipe.name);
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
            for tree in &image.trees {
                tree.write(&folder)?;
            }
            println!("   {}", folder.display());
            continue;
        }
        fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
        let path = out.join(format!("{}_{}.tar", recipe.name, architecture.name()));
        fs::write(&path, &image.archive).with_context(|| format!("cannot write {}", path.display()))?;
        let sbom = path.with_extension("spdx.json");
        fs::write(&sbom, &image.sbom).with_context(|| format!("cannot write {}", sbom.display()))?;
        println!("   {:14} {:>6.1} MB  {}", recipe.name, megabytes(image.archive.len()), path.display());
        files.push(path);
    }
    load(&files, options.load, is_ours, interrupt)
}

/// Builds the programs of `packages` with Debian's libraries for another processor, and gives their folder. `settings` are
/// cargo's, as `--config` takes them.
///
/// # Errors
///
/// The libraries cannot be had, or the build fails.
pub(crate) fn build_for(
    workspace: &Workspace,
    architecture: Architecture,
    packages: &[&str],
    settings: &[&str],
    interrupt: &Interrupt,
) -> Result<PathBuf> {
    let sysroot = Sysroot::make(workspace, architecture, interrupt)?;
    programs::build_dynamic(workspace, packages, &sysroot, settings)?;
    Ok(workspace.target().join(architecture.target()).join("release"))
}

fn load(files: &[PathBuf], load: Load, is_ours: bool, interrupt: &Interrupt) -> Result<()> {
    let wanted = match load {
        Load::Never => false,
        Load::Always => true,
        // Those of another processor would take the names of this machine's.
        Load::Auto => !files.is_empty() && is_ours && engine::answers(),
    };
    if wanted {
        stage("loading");
        for file in files {
            interrupt.check()?;
            engine::load(file)?;
        }
    } else if let (Load::Auto, [first, ..]) = (load, files) {
        let why = if is_ours { "no container engine answers here" } else { "they are not for this machine" };
        println!("{why}; `docker load --input {}` loads one elsewhere", first.display());
    }
    Ok(())
}

/// The recipes of these names, with or without `sluice-`; all if none are given.
fn wanted(names: &[String]) -> Result<Vec<&'static Recipe>> {
    if let Some(unknown) = names.iter().find(|name| !RECIPES.iter().any(|recipe| recipe.is_called(name))) {
        let targets: Vec<_> = RECIPES.iter().map(Recipe::target).collect();
        bail!("--only {unknown}: there is no such image; there are {}", targets.join(", "));
    }
    let is_wanted = |recipe: &&Recipe| names.is_empty() || names.iter().any(|name| recipe.is_called(name));
    Ok(RECIPES.iter().filter(is_wanted).collect())
}

/// What images have in common.
struct Maker<'a> {
    workspace: &'a Workspace,
    architecture: Architecture,
    /// Where the system is that they are made of.
    root: &'a Path,
    /// Programs that were given may need libraries whatever the recipe says.
    given: bool,
    /// Every image has a name with each of these.
    tags: Vec<&'a str>,
    commit: Option<String>,
    /// When the sources were last changed, in seconds since 1970, and in RFC 3339.
    time: (u64, String),
}

/// An image that has been made.
struct Image {
    /// Its files: those of the system, and the program's.
    trees: [Tree; 2],
    archive: Vec<u8>,
    sbom: Vec<u8>,
}

impl<'a> Maker<'a> {
    fn new(
        workspace: &'a Workspace,
        architecture: Architecture,
        root: &'a Path,
        given: bool,
        tags: Vec<&'a str>,
    ) -> Result<Self> {
        let seconds = time(workspace.root())?;
        let text = protocol::time::rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));
        // Whole seconds, as SPDX wants them.
        let text = text.replace(".000Z", "Z");
        Ok(Self {
            workspace,
            architecture,
            root,
            given,
            tags,
            commit: machine::commit(workspace.root()),
            time: (seconds, text),
        })
    }

    fn make(&self, recipe: &Recipe, program: &Path) -> Result<Image> {
        let program = programs::stripped(program)?;
        let is_dynamic = recipe.linkage == Linkage::Dynamic || self.given;
        let (mut below, mut above) = (Tree::default(), Tree::default());
        base(&mut below, recipe);
        let mut packages = BTreeSet::new();
        let described = if is_dynamic {
            let system = System::open(self.root, self.architecture)?;
            packages.extend(system.add_program(&mut below, recipe.package, &program)?);
            packages.extend(system.add_plugins(&mut below, recipe.plugins)?);
            if recipe.certificates {
                packages.insert(system.add_certificates(&mut below)?);
            }
            let described = system.describe(&packages)?;
            system.add_origin(&mut below, &described)?;
            described
        } else {
            Vec::new()
        };
        // The program changes most often: a layer of its own.
        let path = recipe.program_path();
        below.remove(&path);
        above.program(&path, program);
        for alias in recipe.aliases {
            above.link(&format!("usr/bin/{alias}"), recipe.package);
        }
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let from = self.workspace.root().join(licence);
            let text = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            above.file(&format!("usr/share/doc/sluice/{licence}"), text);
        }
        let sbom = self.sbom(recipe, &described, is_dynamic)?;
        above.file("usr/share/doc/sluice/sbom.spdx.json", sbom.as_slice());
        let content = Content {
            layers: vec![
                ("libraries and plugins of Debian", tar::Archive::of(&below, self.time.0)),
                ("the program", tar::Archive::of(&above, self.time.0)),
            ],
            architecture: self.architecture,
            names: self.tags.iter().map(|tag| format!("{}:{tag}", recipe.name)).collect(),
            labels: self.labels(recipe),
            time: (self.time.0, &self.time.1),
        };
        Ok(Image { archive: archive::write(recipe, &content), trees: [below, above], sbom })
    }

    fn sbom(&self, recipe: &Recipe, packages: &[Package], is_dynamic: bool) -> Result<Vec<u8>> {
        let target = if is_dynamic { self.architecture.target() } else { self.architecture.static_target() };
        let crates = Crate::of(self.workspace, recipe.package, target)?;
        let release = fs::read_to_string(self.root.join("usr/lib/os-release")).unwrap_or_default();
        let release = release.lines().find_map(|line| line.strip_prefix("VERSION_ID="));
        let release = release.map(|release| release.trim_matches('"'));
        let document =
            sbom::document(recipe, self.architecture, (VERSION, &self.time.1), packages, &crates, release);
        Ok(serde_json::to_vec_pretty(&document)?)
    }

    /// Labels that tools know: <https://specs.opencontainers.org/image-spec/annotations/>.
    fn labels(&self, recipe: &Recipe) -> Vec<(&'static str, String)> {
        let mut labels = vec![
            ("org.opencontainers.image.created", self.time.1.clone()),
            ("org.opencontainers.image.description", recipe.description.to_owned()),
            ("org.opencontainers.image.licenses", "MIT OR Apache-2.0".to_owned()),
            ("org.opencontainers.image.title", recipe.name.to_owned()),
            ("org.opencontainers.image.version", VERSION.to_owned()),
        ];
        if let Some(commit) = &self.commit {
            labels.push(("org.opencontainers.image.revision", commit.clone()));
        }
        labels
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What every image has: folders, and the names of its users.
fn base(tree: &mut Tree, recipe: &Recipe) {
    for (name, target) in
        [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/bin")]
    {
        tree.link(name, target);
    }
    tree.file("etc/passwd", format!("root:x:0:0:root:/:/none\nsluice:x:{USER}:{USER}:sluice:{HOME}:/none\n"));
    tree.file("etc/group", format!("root:x:0:\nsluice:x:{USER}:\n"));
    tree.file("etc/nsswitch.conf", "hosts: files dns\n");
    tree.folder("tmp", 0, 0o1777);
    for volume in recipe.volumes {
        tree.folder(volume, USER, 0o755);
    }
}

/// When the sources were last changed: the last commit's time, or what `SOURCE_DATE_EPOCH` says.
fn time(root: &Path) -> Result<u64> {
    if let Ok(time) = std::env::var("SOURCE_DATE_EPOCH") {
        return time.parse().with_context(|| format!("SOURCE_DATE_EPOCH={time} is no number of seconds"));
    }
    let output = Command::new("git")
        .args(["log", "-1", "--format=%ct"])
        .current_dir(root)
        .stderr(std::process::Stdio::null())
        .output();
    let committed = output.ok().and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse().ok());
    // Outside of a checkout nothing tells.
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(committed.unwrap_or_else(now))
}

fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_by_either_name() {
        let names = |only: &[&str]| {
            let only: Vec<_> = only.iter().map(|name| (*name).to_owned()).collect();
            wanted(&only).map(|recipes| recipes.iter().map(|recipe| recipe.target()).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap(), ["cloud", "edge", "camera", "shaper"]);
        assert_eq!(names(&["sluice-shaper", "edge"]).unwrap(), ["edge", "shaper"]);
        assert!(names(&["fog"]).unwrap_err().to_string().contains("cloud, edge, camera, shaper"));
    }
}
