//! What each image is made of: the one list that the images, the Dockerfile and the documentation follow.

use std::time::Duration;

/// The user of all images but the shaper's: a number that no system gives to anybody else, as other images without a
/// shell have it.
pub const USER: u32 = 65532;
/// The home of that user, the only folder that may be written to.
pub(super) const HOME: &str = "/var/lib/sluice";
/// Debian packages that building needs, besides those of the plugins.
pub(super) const BUILD_PACKAGES: [&str; 7] = [
    "ca-certificates",
    "gcc",
    "libc6-dev",
    "libgstreamer-plugins-base1.0-dev",
    "libgstreamer1.0-dev",
    "libgstrtspserver-1.0-dev",
    "pkg-config",
];

/// GStreamer's libraries that programs are linked with, as the linker is told of them.
pub(super) const LIBRARIES: [&str; 4] = ["gstreamer-1.0", "gstapp-1.0", "gstvideo-1.0", "gstrtspserver-1.0"];

const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const CORE: &str = "libgstreamer1.0-0";

/// A plugin of GStreamer: its name, as in `libgstNAME.so`, and the Debian package that has it.
pub(super) type Plugin = (&'static str, &'static str);

/// How a program finds its libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Linkage {
    /// As Debian's do.
    Dynamic,
    /// It brings everything.
    Static,
}

/// One image.
#[derive(Debug)]
pub(super) struct Recipe {
    /// Its name; the last word is that of the Dockerfile's target.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) description: &'static str,
    /// The cargo package, which is also its program's name.
    pub(super) package: &'static str,
    /// How the program finds its libraries.
    pub(super) linkage: Linkage,
    /// The plugins that it uses.
    pub(super) plugins: &'static [Plugin],
    /// Whether it verifies web servers.
    pub(super) certificates: bool,
    /// Whether it must be root.
    pub(super) root: bool,
    /// Variables of its environment.
    environment: &'static [(&'static str, &'static str)],
    /// The folder that it works in.
    pub(super) directory: &'static str,
    /// Ports that it listens on.
    pub(super) ports: &'static [&'static str],
    /// Folders that outlive a container.
    pub(super) volumes: &'static [&'static str],
    /// Further names of the program.
    pub(super) aliases: &'static [&'static str],
    /// Arguments with which the program asks the running one whether it is well.
    health: &'static [&'static str],
}

/// When a container's health is asked for.
pub(super) struct Health;

impl Health {
    pub(super) const INTERVAL: Duration = Duration::from_secs(5);
    pub(super) const TIMEOUT: Duration = Duration::from_secs(4);
    pub(super) const START: Duration = Duration::from_secs(30);
    pub(super) const RETRIES: u32 = 3;
}

/// All images.
pub(super) const RECIPES: [Recipe; 4] = [
    Recipe {
        name: "sluice-cloud",
        description: "Answers POST /infer with the big model's detections",
        package: "cloud-daemon",
        linkage: Linkage::Dynamic,
        plugins: &[],
        certificates: true,
        root: false,
        environment: &[("BIG_MODEL_BIND_PORT", "5000"), ("MODEL_CACHE", "/var/lib/sluice/models")],
        directory: HOME,
        ports: &["5000/tcp"],
        volumes: &[HOME],
        aliases: &[],
        health: &["--health"],
    },
    Recipe {
        name: "sluice-edge",
        description: "Watches video with a little model and sends the frames it is unsure of to a big one",
        package: "edge-daemon",
        linkage: Linkage::Dynamic,
        plugins: &[
            ("coreelements", CORE),
            ("app", BASE),
            ("playback", BASE),
            ("typefindfunctions", BASE),
            ("videoconvertscale", BASE),
            ("isomp4", GOOD),
            ("jpeg", GOOD),
            ("matroska", GOOD),
            ("rtp", GOOD),
            ("rtpmanager", GOOD),
            ("rtsp", GOOD),
            ("udp", GOOD),
            ("video4linux2", GOOD),
            ("openh264", BAD),
            ("videoparsersbad", BAD),
        ],
        certificates: true,
        root: false,
        environment: &[
            ("SLUICE_LISTEN", "127.0.0.1:9101"),
            ("MODEL_CACHE", "/var/lib/sluice/models"),
            // Plugins are looked at once and remembered; by the daemon itself, as the image has no other program.
            ("GST_REGISTRY", "/var/lib/sluice/gstreamer-registry"),
            ("GST_REGISTRY_FORK", "no"),
        ],
        directory: HOME,
        ports: &[],
        volumes: &[HOME],
        // Sedna's users start the container as a shell, and the program in it; here the one is the other.
        aliases: &["bash"],
        health: &["--health"],
    },
    Recipe {
        name: "sluice-camera",
        description: "Plays a video file in a loop as if it were an RTSP camera",
        package: "rtsp-relay",
        linkage: Linkage::Dynamic,
        plugins: &[
            ("coreelements", CORE),
            ("app", BASE),
            ("typefindfunctions", BASE),
            ("isomp4", GOOD),
            ("rtp", GOOD),
            ("rtpmanager", GOOD),
            ("udp", GOOD),
            ("videoparsersbad", BAD),
        ],
        certificates: false,
        root: false,
        environment: &[
            ("SLUICE_LISTEN", "0.0.0.0:8554"),
            ("GST_REGISTRY", "/var/lib/sluice/gstreamer-registry"),
            ("GST_REGISTRY_FORK", "no"),
        ],
        directory: HOME,
        ports: &["8554/tcp"],
        volumes: &[HOME],
        aliases: &[],
        health: &["--health"],
    },
    Recipe {
        name: "sluice-shaper",
        description: "Holds what a container sends and receives to a rate, from the host's side of its veth",
        package: "shaper-agent",
        linkage: Linkage::Static,
        plugins: &[],
        certificates: false,
        root: true,
        environment: &[("SLUICE_LISTEN", "127.0.0.1:9102")],
        directory: "/",
        ports: &[],
        volumes: &[],
        aliases: &[],
        health: &["health"],
    },
];

impl Recipe {
    /// Its name without `sluice-`.
    pub(super) fn target(&self) -> &'static str {
        self.name.rsplit('-').next().unwrap_or(self.name)
    }

    /// Whether `name` is its name, with or without `sluice-`.
    pub(super) fn is_called(&self, name: &str) -> bool {
        [self.name, self.target()].contains(&name)
    }

    /// Where its program is.
    pub(super) fn program_path(&self) -> String {
        format!("/usr/bin/{}", self.package)
    }

    /// Who runs it, as the image says it: user and group.
    pub(super) fn user(&self) -> String {
        let user = if self.root { 0 } else { USER };
        format!("{user}:{user}")
    }

    /// Its environment.
    pub(super) fn environment(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        [("PATH", "/usr/bin"), ("HOME", self.directory)].into_iter().chain(self.environment.iter().copied())
    }

    /// The command that asks whether the container is well.
    pub(super) fn health_command(&self) -> Vec<String> {
        let arguments = self.health.iter().map(|argument| (*argument).to_owned());
        [self.program_path()].into_iter().chain(arguments).collect()
    }
}

/// Every Debian package that making the images needs, in order.
pub(super) fn packages() -> Vec<&'static str> {
    let mut packages: Vec<_> =
        RECIPES.iter().flat_map(|recipe| recipe.plugins.iter().map(|(_, package)| *package)).collect();
    packages.extend(BUILD_PACKAGES);
    packages.sort_unstable();
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_up_installs_what_images_are_made_of() {
        // The core library comes with its development files.
        for package in packages().into_iter().filter(|package| *package != CORE) {
            assert!(crate::packages::names().any(|name| name == package), "{package} is not installed");
        }
    }

    #[test]
    fn only_the_shaper_is_root() {
        let roots: Vec<_> = RECIPES.iter().filter(|recipe| recipe.root).map(Recipe::target).collect();
        assert_eq!(roots, ["shaper"]);
        assert!(RECIPES.iter().filter(|recipe| !recipe.root).all(|recipe| recipe.user() == "65532:65532"));
    }
}
