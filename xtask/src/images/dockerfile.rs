//! `deploy/Dockerfile`, written from the recipes, so that both ways make the same images.

use std::fmt::Write as _;

use super::recipe::{Health, RECIPES, Recipe, USER, packages};

/// Where the file is in the workspace.
pub const PATH: &str = "deploy/Dockerfile";

/// The image in which everything is built, of the oldest Debian that is supported: what is built there runs on newer ones.
const BUILDER: &str = "docker.io/library/rust:1-bookworm";

/// The text of the file.
pub fn text() -> String {
    let mut text = format!(
        "# Written by `cargo xtask images --dockerfile` from xtask/src/images/recipe.rs; a test compares the two.\n\
         #\n\
         #   docker build --file {PATH} --target edge --tag sluice-edge .\n\
         #\n\
         # Targets: {}. For boards: docker buildx build --platform linux/arm64 …\n\
         \n\
         FROM {BUILDER} AS build\n\
         RUN apt-get update && apt-get install --yes --no-install-recommends \\\n",
        RECIPES.iter().map(Recipe::target).collect::<Vec<_>>().join(", ")
    );
    let packages = packages();
    for package in &packages {
        let end = if Some(package) == packages.last() { "" } else { " \\" };
        let _ = writeln!(text, "        {package}{end}");
    }
    text.push_str(
        "WORKDIR /sluice\n\
         COPY . .\n\
         ENV CARGO_INCREMENTAL=0\n\
         RUN cargo xtask build-ebpf\n",
    );
    for recipe in &RECIPES {
        text.push_str(&target(recipe));
    }
    text
}

/// The stages of one image.
fn target(recipe: &Recipe) -> String {
    let name = recipe.target();
    let mut text = format!(
        "\n# {}\n\
         FROM build AS build-{name}\n\
         RUN cargo xtask images --only {name} --tree /image --load never\n\
         FROM scratch AS {name}\n\
         COPY --from=build-{name} /image/{} /\n",
        recipe.description, recipe.name
    );
    if recipe.volumes.is_empty() {
        let _ = writeln!(text, "USER {}", recipe.user());
    } else {
        let folders = recipe.volumes.join(" ");
        // Copying does not keep owners that the building user does not have.
        let _ = write!(
            text,
            "COPY --from=build-{name} --chown={USER}:{USER} /image/{}{folders} {folders}\nUSER {}\n",
            recipe.name,
            recipe.user()
        );
    }
    for (key, value) in recipe.environment() {
        let _ = writeln!(text, "ENV {key}={value}");
    }
    for port in recipe.ports {
        let _ = writeln!(text, "EXPOSE {port}");
    }
    for volume in recipe.volumes {
        let _ = writeln!(text, "VOLUME {volume}");
    }
    let list = |words: &[String]| {
        let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
        format!("[{}]", quoted.join(", "))
    };
    let _ = write!(
        text,
        "WORKDIR {}\nSTOPSIGNAL SIGTERM\n\
         HEALTHCHECK --interval={}s --timeout={}s --start-period={}s --retries={} CMD {}\n\
         LABEL org.opencontainers.image.title=\"{}\" org.opencontainers.image.description=\"{}\"\n\
         ENTRYPOINT {}\n",
        recipe.directory,
        Health::INTERVAL.as_secs(),
        Health::TIMEOUT.as_secs(),
        Health::START.as_secs(),
        Health::RETRIES,
        list(&recipe.health_command()),
        recipe.name,
        recipe.description,
        list(&[recipe.program_path()]),
    );
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_file_is_what_the_recipes_say() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PATH);
        let found = std::fs::read_to_string(&path).unwrap();
        assert!(found == text(), "{PATH} is old: run `cargo xtask images --dockerfile`");
    }

    #[test]
    fn every_package_and_image_is_in_it() {
        let text = text();
        for package in packages() {
            assert!(text.lines().any(|line| line.trim().trim_end_matches(" \\") == package), "{package}");
        }
        for recipe in &RECIPES {
            assert!(text.contains(&format!("FROM scratch AS {}\n", recipe.target())), "{}", recipe.name);
            assert!(text.contains(&format!("USER {}\n", recipe.user())));
        }
    }
}
