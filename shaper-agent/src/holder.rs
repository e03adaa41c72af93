//! Which process holds a kernel program.

use std::fs;

/// A process that has a program, or a link to it, open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    pub(crate) command: String,
}

/// Looks through `/proc/*/fdinfo`, where the kernel names the program of every BPF descriptor.
pub(crate) fn of_program(id: u32) -> Option<Holder> {
    let wanted = format!("prog_id:\t{id}");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(descriptors) = fs::read_dir(process.path().join("fdinfo")) else { continue };
        let holds = descriptors.flatten().any(|descriptor| {
            fs::read_to_string(descriptor.path()).is_ok_and(|info| info.lines().any(|line| line == wanted))
        });
        if holds {
            let command =
                fs::read_to_string(process.path().join("comm")).unwrap_or_default().trim_end().to_owned();
            return Some(Holder { pid, command });
        }
    }
    None
}

/// For messages: `shaper-agent (process 123)`.
pub(crate) fn describe(program: u32) -> String {
    match of_program(program) {
        Some(Holder { pid, command }) => format!("{command} (process {pid})"),
        None => format!("kernel program {program}"),
    }
}
