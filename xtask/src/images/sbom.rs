//! What is in an image, as an SPDX 2.3 document: <https://spdx.github.io/spdx-spec/v2.3/>.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::architecture::Architecture;
use super::recipe::Recipe;
use super::system::Package;
use crate::workspace::Workspace;

/// A Rust crate that a program is built of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Crate {
    name: String,
    version: String,
    licence: Option<String>,
    /// Whether it is one of the workspace's own.
    own: bool,
    /// SHA-256 of its archive, as `Cargo.lock` has it.
    checksum: Option<String>,
}

impl Crate {
    /// The crates that the program of `package` is built of for `target`, itself included.
    ///
    /// # Errors
    ///
    /// cargo does not tell, or there is no `Cargo.lock`.
    pub(super) fn of(workspace: &Workspace, package: &str, target: &str) -> Result<Vec<Self>> {
        let mut command = workspace.cargo();
        command.args(["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none"]);
        command.args(["--format", "{p}\t{l}", "--package", package]);
        command.args(["--target", target]);
        let output = command.output().context("cannot run cargo")?;
        anyhow::ensure!(
            output.status.success(),
            "cargo tree failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let lock = workspace.root().join("Cargo.lock");
        let lock = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
        Ok(Self::among(&String::from_utf8_lossy(&output.stdout), &checksums(&lock)))
    }

    fn among(tree: &str, checksums: &BTreeMap<(String, String), String>) -> Vec<Self> {
        let mut crates: Vec<_> = tree
            .lines()
            .filter_map(|line| {
                let (package, licence) = line.split_once('\t')?;
                // `(*)` marks what was listed before.
                let licence = licence.trim_end_matches("(*)").trim();
                let mut words = package.split(' ');
                let (name, version) = (words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned());
                Some(Self {
                    own: words.next().is_some_and(|source| source.starts_with("(/")),
                    checksum: checksums.get(&(name.clone(), version.clone())).cloned(),
                    licence: Some(licence.replace('/', " OR ")).filter(|licence| !licence.is_empty()),
                    name,
                    version,
                })
            })
            .collect();
        crates.sort();
        crates.dedup();
        crates
    }
}

/// The checksum of each crate, by name and version, in the text of a `Cargo.lock`.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    lock.split("[[package]]")
        .filter_map(|entry| {
            let value = |key: &str| {
                let start = format!("{key} = \"");
                entry.lines().find_map(|line| Some(line.strip_prefix(&start)?.strip_suffix('"')?.to_owned()))
            };
            Some(((value("name")?, value("version")?), value("checksum")?))
        })
        .collect()
}

/// The document of an image. `version` is Sluice's, `time` in RFC 3339.
pub(super) fn document(
    recipe: &Recipe,
    architecture: Architecture,
    (version, time): (&str, &str),
    packages: &[Package],
    crates: &[Crate],
    release: Option<&str>,
) -> Value {
    const ROOT: &str = "SPDXRef-image";
    let name = format!("{}-{version}-{}", recipe.name, architecture.name());
    let mut entries = vec![json!({
        "SPDXID": ROOT,
        "name": recipe.name,
        "versionInfo": version,
        "description": recipe.description,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "MIT OR Apache-2.0",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "CONTAINER",
    })];
    let mut relationships = vec![
        json!({"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": ROOT}),
    ];
    let mut add = |id: String, mut entry: Value| {
        relationships
            .push(json!({"spdxElementId": ROOT, "relationshipType": "CONTAINS", "relatedSpdxElement": id}));
        entry["SPDXID"] = json!(id);
        entry["filesAnalyzed"] = json!(false);
        entry["licenseConcluded"] = json!("NOASSERTION");
        entry["copyrightText"] = json!("NOASSERTION");
        entries.push(entry);
    };
    for package in packages {
        let distribution = release.map_or_else(String::new, |release| format!("&distro=debian-{release}"));
        let locator = format!(
            "pkg:deb/debian/{}@{}?arch={}{distribution}",
            package.name,
            percent(&package.version),
            package.architecture
        );
        add(
            format!("SPDXRef-deb-{}", identifier(&package.name)),
            json!({
                "name": package.name,
                "versionInfo": package.version,
                "sourceInfo": format!("built from the Debian source package {}", package.source),
                "downloadLocation": "NOASSERTION",
                // In words and in full beside the package: /usr/share/doc/NAME/copyright of the image.
                "licenseDeclared": "NOASSERTION",
                "externalRefs": [reference(&locator)],
            }),
        );
    }
    for library in crates {
        let locator = format!("pkg:cargo/{}@{}", library.name, library.version);
        let mut entry = json!({
            "name": library.name,
            "versionInfo": library.version,
            "licenseDeclared": library.licence.as_deref().unwrap_or("NOASSERTION"),
            "downloadLocation": if library.own {
                "NOASSERTION".to_owned()
            } else {
                format!("https://crates.io/api/v1/crates/{}/{}/download", library.name, library.version)
            },
        });
        if !library.own {
            entry["externalRefs"] = json!([reference(&locator)]);
        }
        if let Some(checksum) = &library.checksum {
            entry["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": checksum}]);
        }
        add(format!("SPDXRef-crate-{}-{}", identifier(&library.name), identifier(&library.version)), entry);
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": format!("https://spdx.org/spdxdocs/{name}-{}", time.replace(':', "-")),
        "creationInfo": {"created": time, "creators": [format!("Tool: sluice-xtask-{version}")]},
        "packages": entries,
        "relationships": relationships,
    })
}

fn reference(locator: &str) -> Value {
    json!({"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator})
}

/// Identifiers have letters, digits, dots and hyphens only.
fn identifier(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ".-".contains(letter);
    text.chars().map(|letter| if plain(letter) { letter } else { '-' }).collect()
}

/// What package URLs do not have as it is.
fn percent(text: &str) -> String {
    text.replace('%', "%25").replace('+', "%2B").replace(':', "%3A")
}

#[cfg(test)]
mod tests {
    use super::super::recipe::RECIPES;
    use super::*;

    const TREE: &str = "edge-daemon v0.1.0 (/home/me/sluice/edge-daemon)\tMIT OR Apache-2.0\n\
                        bytes v1.12.2\tMIT\nlog v0.4.35\tMIT/Apache-2.0\nbytes v1.12.2\tMIT (*)\n";
    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"bytes\"\nversion = \"1.12.2\"\nchecksum = \"ab12\"\n\n\
                        [[package]]\nname = \"edge-daemon\"\nversion = \"0.1.0\"\n";

    #[test]
    fn crates_with_their_licences_and_checksums() {
        let crates = Crate::among(TREE, &checksums(LOCK));
        let names: Vec<_> = crates.iter().map(|library| library.name.as_str()).collect();
        assert_eq!(names, ["bytes", "edge-daemon", "log"]);
        assert_eq!(crates[0].checksum.as_deref(), Some("ab12"));
        assert!(crates[1].own && !crates[0].own);
        assert_eq!(crates[2].licence.as_deref(), Some("MIT OR Apache-2.0"));
    }

    #[test]
    fn a_document_names_everything_once() {
        let package = Package {
            name: "libstdc++6".into(),
            version: "1:12.2+14".into(),
            architecture: "amd64".into(),
            source: "gcc-12".into(),
        };
        let crates = Crate::among(TREE, &checksums(LOCK));
        let recipe = &RECIPES[1];
        let document = document(
            recipe,
            Architecture::Amd64,
            ("0.1.0", "2026-11-24T00:00:00Z"),
            &[package],
            &crates,
            Some("12"),
        );
        let text = document.to_string();
        assert!(
            text.contains("pkg:deb/debian/libstdc++6@1%3A12.2%2B14?arch=amd64&distro=debian-12"),
            "{text}"
        );
        assert!(text.contains("pkg:cargo/bytes@1.12.2") && !text.contains("/home/me"), "{text}");
        let packages = document["packages"].as_array().unwrap();
        let ids: std::collections::BTreeSet<_> =
            packages.iter().map(|package| package["SPDXID"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), packages.len());
        assert_eq!(packages.len(), 1 + 1 + 3);
        assert_eq!(document["relationships"].as_array().unwrap().len(), packages.len());
    }
}
