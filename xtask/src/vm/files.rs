//! The files that a guest starts with, in the folder that only its process sees.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::guest::Guest;
use super::home::Home;
use super::kernel::Machine;
use super::modules::Modules;
use super::part::{Part, busybox};
use super::process::{ARCHIVE, USER_MODE_SCRIPT, tag};
use super::script;

const INIT: &str = include_str!("guest/init.sh");
const USER_MODE: &str = include_str!("guest/user-mode.sh");
const EMULATED: &str = include_str!("guest/emulated.sh");
/// What an emulated guest's first files must bring to find its root.
const FIRST_MODULES: [&str; 5] = ["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"];

/// Writes what `guest` needs to run `words`.
///
/// # Errors
///
/// If a file cannot be read or written.
pub(super) fn write(guest: &Guest, home: &Home, words: &[Vec<u8>]) -> Result<()> {
    let run = home.run();
    let put = |name: &str, content: &[u8]| {
        let path = run.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    };
    // Where the root is laid together.
    for folder in ["memory", "root"] {
        fs::create_dir(run.join(folder)).with_context(|| format!("cannot make {}", run.display()))?;
    }
    let modules = Modules::find(&Part::Kernel(guest.kernel).folder(home).join("lib/modules"))?;
    let settings = settings(guest, home, modules.path());
    put("settings", &settings)?;
    put("init.sh", INIT.as_bytes())?;
    put("writable", &writable(guest))?;
    put("command", &command(guest, words))?;
    match guest.kernel.machine() {
        Machine::UserMode => put(USER_MODE_SCRIPT, USER_MODE.as_bytes()),
        Machine::Emulated => put(ARCHIVE, &archive(home, &modules, &settings)?),
    }
}

/// What the scripts must know, as assignments of a shell.
fn settings(guest: &Guest, home: &Home, modules: &Path) -> Vec<u8> {
    let machine = match guest.kernel.machine() {
        Machine::UserMode => "user-mode",
        Machine::Emulated => "emulated",
    };
    let (busybox, run) = (busybox(home), home.run());
    [("machine", Path::new(machine)), ("busybox", &busybox), ("run", &run), ("modules", modules)]
        .iter()
        .flat_map(|(name, value)| script::assignment(name, value.as_os_str()))
        .collect()
}

/// The commands that mount the writable folders.
fn writable(guest: &Guest) -> Vec<u8> {
    let mut text = Vec::new();
    for (number, path) in guest.writable.iter().enumerate() {
        let path = path.as_os_str();
        text.extend(script::assignment("folder", path));
        text.extend_from_slice(b"\"$busybox\" mkdir -p \"$folder\"\n");
        let mount = match guest.kernel.machine() {
            Machine::UserMode => "hostfs -o \"$folder\" none".to_owned(),
            Machine::Emulated => {
                format!("9p -o trans=virtio,version=9p2000.L,msize=262144,cache=mmap {}", tag(number))
            }
        };
        text.extend_from_slice(
            format!("\"$busybox\" mount -t {mount} \"$folder\" || fail \"cannot mount $folder\"\n")
                .as_bytes(),
        );
    }
    text
}

/// The command itself, in its folder and with its environment and no more.
fn command(guest: &Guest, words: &[Vec<u8>]) -> Vec<u8> {
    let mut text = script::line([b"cd".as_slice(), guest.directory.as_os_str().as_encoded_bytes()]);
    text.pop();
    text.extend_from_slice(b" || exit 126\nexec /usr/bin/env -i ");
    let variables = guest.environment.iter().map(|(name, value)| {
        let mut variable = name.as_encoded_bytes().to_vec();
        variable.push(b'=');
        variable.extend_from_slice(value.as_encoded_bytes());
        variable
    });
    text.extend(script::line(variables.chain(words.iter().cloned())));
    text
}

/// An emulated guest's first files.
fn archive(home: &Home, modules: &Modules, settings: &[u8]) -> Result<Vec<u8>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let mut archive = Archive::default();
    for folder in ["dev", "lower", "memory", "modules", "root"] {
        archive.folder(folder);
    }
    archive.file("busybox", &read(&busybox(home))?);
    archive.file("settings", settings);
    archive.file("init", EMULATED.as_bytes());
    let mut order: Vec<String> = Vec::new();
    for path in
        FIRST_MODULES.iter().map(|name| modules.with_needs(name)).collect::<Result<Vec<_>>>()?.concat()
    {
        let name = path.file_name().context("a module has a name")?.to_string_lossy().into_owned();
        if !order.contains(&name) {
            archive.file(&format!("modules/{name}"), &read(&path)?);
            order.push(name);
        }
    }
    order.push(String::new());
    archive.file("order", order.join("\n").as_bytes());
    Ok(archive.finish())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::io::Write;
    use std::os::unix::ffi::OsStringExt;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::vm::kernel::Kernel;

    #[test]
    fn the_scripts_are_what_a_shell_reads() {
        for script in [INIT, USER_MODE, EMULATED] {
            let mut shell = Command::new("sh").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
            shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            assert!(shell.wait().unwrap().success(), "{script}");
        }
    }

    #[test]
    fn a_command_has_its_folder_its_words_and_only_its_environment() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("it's here");
        fs::create_dir(&folder).unwrap();
        let mut guest = Guest::new(Kernel::Uml612).unwrap();
        guest.directory = folder.clone();
        guest.environment = vec![("PATH".into(), "/usr/bin:/bin".into()), ("A".into(), "b 'c'".into())];
        let script =
            command(&guest, &["sh", "-c", "pwd; env; echo $0", "$x *"].map(|word| word.as_bytes().to_vec()));
        let output =
            Command::new("sh").arg("-c").arg(OsString::from_vec(script)).env("OTHER", "1").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], folder.to_str().unwrap());
        assert!(lines.contains(&"A=b 'c'") && lines.contains(&"$x *"), "{text}");
        assert!(!text.contains("OTHER"), "{text}");
    }

    #[test]
    fn writable_folders_are_mounted_in_their_order() {
        let guest = |kernel| Guest::new(kernel).unwrap().write("/a b").write("/c");
        let text = String::from_utf8(writable(&guest(Kernel::Tcg61))).unwrap();
        let (first, second) = (text.find("'/a b'").unwrap(), text.find("'/c'").unwrap());
        let tags = (text.find(" writable0 ").unwrap(), text.find(" writable1 ").unwrap());
        assert!(first < tags.0 && tags.0 < second && second < tags.1, "{text}");
        let text = String::from_utf8(writable(&guest(Kernel::Uml612))).unwrap();
        assert_eq!(text.matches("-t hostfs").count(), 2, "{text}");
    }
}
