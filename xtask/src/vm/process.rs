//! The command line of the process that is a guest.

use std::path::Path;
use std::process::Command;

use super::guest::Guest;
use super::home::Home;
use super::kernel::Machine;
use super::part::{Part, busybox};
use super::streams::Numbers;

/// The program that is `guest`, with its streams under `numbers`.
pub(super) fn command(guest: &Guest, home: &Home, numbers: Numbers) -> Command {
    match guest.kernel.machine() {
        Machine::UserMode => user_mode(guest, home, numbers),
        Machine::Emulated => emulated(guest, home, numbers),
    }
}

/// The name of the archive with an emulated guest's first files, in the folder of the run.
pub(super) const ARCHIVE: &str = "initial.cpio";
/// The shell script that a user-mode guest starts with.
pub(super) const USER_MODE_SCRIPT: &str = "user-mode.sh";

fn user_mode(guest: &Guest, home: &Home, numbers: Numbers) -> Command {
    let Numbers { out, err, control, console } = numbers;
    let run = home.run();
    let mut command = Part::Kernel(guest.kernel).command(home, "linux.uml");
    // The guest's memory is a file there, and so is what the kernel keeps of its own.
    command.env("TMPDIR", &run).arg(format!("uml_dir={}/", run.display()));
    command.arg(format!("mem={}M", guest.memory_mib));
    command.args(["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"]);
    command.args(["con=null", "ssl=null"]).arg(format!("con0=null,fd:{console}"));
    for (line, number) in [(1, out), (2, err), (3, control)] {
        command.arg(format!("ssl{line}=null,fd:{number}"));
    }
    command.args(loudness(guest)).arg("panic=-1").arg(format!("init={}", busybox(home).display()));
    command.args(["--", "sh"]).arg(run.join(USER_MODE_SCRIPT));
    command
}

fn emulated(guest: &Guest, home: &Home, numbers: Numbers) -> Command {
    let kernel = Part::Kernel(guest.kernel).folder(home);
    let share = Part::Emulator.folder(home).join("share");
    let mut command = Part::Emulator.command(home, "qemu-system-x86_64");
    command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-nographic", "-L"]).arg(&share);
    // Without the HPET a guest's clock is sometimes not calibrated, and it hangs as it boots.
    command.args(["-machine", "q35,hpet=on", "-bios"]).arg(share.join("qboot.rom"));
    command.args(["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"]);
    command.arg("-smp").arg(guest.cpus().to_string()).arg("-m").arg(guest.memory_mib.to_string());
    command.arg("-kernel").arg(kernel.join("vmlinux")).arg("-initrd").arg(home.run().join(ARCHIVE));
    let loudness = loudness(guest).unwrap_or_default();
    command
        .arg("-append")
        .arg(format!("console=ttyS0 panic=-1 mitigations=off nokaslr tsc=unstable {loudness}"));
    folder(&mut command, "root", Path::new("/"), ",readonly=on");
    for (number, path) in guest.writable.iter().enumerate() {
        folder(&mut command, &tag(number), path, "");
    }
    let Numbers { out, err, control, console } = numbers;
    command
        .arg("-chardev")
        .arg(format!("socket,id=console,fd={console}"))
        .args(["-serial", "chardev:console"]);
    command.args(["-device", "virtio-serial-pci"]);
    for (name, number) in [("out", out), ("err", err), ("control", control)] {
        command.arg("-chardev").arg(format!("socket,id={name},fd={number}"));
        command.arg("-device").arg(format!("virtserialport,chardev={name},name={name}"));
    }
    command
}

/// Shares the host's folder `path` with an emulated guest as `tag`.
fn folder(command: &mut Command, tag: &str, path: &Path, more: &str) {
    let mut option =
        std::ffi::OsString::from(format!("local,id={tag},security_model=none,multidevs=remap{more},path="));
    option.push(path);
    command.arg("-fsdev").arg(option);
    command.arg("-device").arg(format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"));
}

/// The name under which an emulated guest mounts its writable folder `number`.
pub(super) fn tag(number: usize) -> String {
    format!("writable{number}")
}

/// How much a kernel says on its console.
fn loudness(guest: &Guest) -> Option<&'static str> {
    (!guest.console).then_some("quiet")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::kernel::Kernel;

    fn words(guest: &Guest) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path()).unwrap();
        let numbers = Numbers { out: 11, err: 12, control: 13, console: 14 };
        let command = command(guest, &home, numbers);
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn streams_go_by_their_numbers() {
        let user_mode = words(&Guest::new(Kernel::Uml612).unwrap().memory_mib(300)).join(" ");
        for part in
            ["mem=300M", "con0=null,fd:14", "ssl1=null,fd:11", "ssl2=null,fd:12", "ssl3=null,fd:13", "quiet"]
        {
            assert!(user_mode.contains(part), "{part} is missing in {user_mode}");
        }
        let emulated = words(&Guest::new(Kernel::Tcg61).unwrap().with_cpus(3).show_console(true)).join(" ");
        for part in ["-smp 3", "id=out,fd=11", "id=err,fd=12", "id=control,fd=13", "id=console,fd=14"] {
            assert!(emulated.contains(part), "{part} is missing in {emulated}");
        }
        assert!(!emulated.contains("quiet"), "{emulated}");
    }

    #[test]
    fn only_the_folders_given_can_be_written() {
        let emulated = words(&Guest::new(Kernel::Tcg612).unwrap().write("/srv/a"));
        let shared: Vec<_> = emulated.iter().filter(|word| word.starts_with("local,")).collect();
        assert_eq!(shared.len(), 2, "{shared:?}");
        assert!(
            shared[0].contains("id=root,")
                && shared[0].contains("readonly=on")
                && shared[0].ends_with("path=/")
        );
        assert!(shared[1].contains("id=writable0,") && !shared[1].contains("readonly"));
        assert!(shared[1].ends_with("path=/srv/a"));
    }
}
