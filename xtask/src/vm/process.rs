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
