//! Short grace periods while many limits are put in force or removed.
//!
//! To change what is on a TCX hook, the kernel waits until no CPU can be using the old list any more: an RCU grace
//! period, some 10 ms, for one hook after the other. With `/sys/kernel/rcu_expedited` it interrupts the CPUs instead of
//! waiting for them, which takes some 50 µs. That is a setting of the whole machine, so it is changed only for as long as
//! many limits change, and only if nobody else has.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The kernel's setting: `0` or `1`.
const SETTING: &str = "/sys/kernel/rcu_expedited";
/// There while the setting is changed, so that the next agent finds what a killed one left.
const NOTE: &str = "/run/shaper-agent/rcu_expedited";
/// Fewer changes than this are not worth it.
const MANY: usize = 16;

/// The setting, changed until this is dropped.
#[derive(Debug)]
pub(crate) struct Expedited {
    setting: PathBuf,
    note: PathBuf,
}

impl Expedited {
    /// Changes the setting if there are many changes ahead. Where that cannot be, they only take longer.
    pub(crate) fn for_changes(count: usize) -> Option<Self> {
        if count < MANY {
            return None;
        }
        Self::begin(Path::new(SETTING), Path::new(NOTE))
            .inspect_err(|error| tracing::debug!("grace periods stay long: {SETTING}: {error}"))
            .ok()
            .flatten()
    }

    fn begin(setting: &Path, note: &Path) -> io::Result<Option<Self>> {
        if fs::read_to_string(setting)?.trim() != "0" {
            return Ok(None);
        }
        if let Some(folder) = note.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(note, "")?;
        let expedited = Self { setting: setting.to_owned(), note: note.to_owned() };
        fs::write(setting, "1")?;
        Ok(Some(expedited))
    }
}

impl Drop for Expedited {
    fn drop(&mut self) {
        restore(&self.setting, &self.note);
    }
}

/// Puts back what an agent that was killed has left.
pub(crate) fn clean_up() {
    if Path::new(NOTE).exists() {
        restore(Path::new(SETTING), Path::new(NOTE));
    }
}

fn restore(setting: &Path, note: &Path) {
    // The note goes last: until then, whoever comes next will try again.
    match fs::write(setting, "0").and_then(|()| fs::remove_file(note)) {
        // The folder stays where it is systemd's.
        Ok(()) => drop(note.parent().map(fs::remove_dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!("cannot set {} to 0 again: {error}; do so by hand", setting.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_put_back_and_others_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let [setting, note] = ["setting", "run/note"].map(|name| directory.path().join(name));
        let now = || fs::read_to_string(&setting).unwrap();
        fs::write(&setting, "0\n").unwrap();
        let expedited = Expedited::begin(&setting, &note).unwrap();
        assert!(expedited.is_some() && now() == "1" && note.exists());
        // A second one leaves it to the first.
        assert!(Expedited::begin(&setting, &note).unwrap().is_none());
        drop(expedited);
        assert!(now() == "0" && !directory.path().join("run").exists());

        fs::write(&setting, "1\n").unwrap();
        assert!(Expedited::begin(&setting, &note).unwrap().is_none());
        assert!(now() == "1\n" && !note.exists());
        assert!(Expedited::begin(&directory.path().join("none"), &note).is_err());
        assert!(Expedited::for_changes(MANY - 1).is_none());
    }
}
