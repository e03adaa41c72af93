//! A target that is read prints and reads back as the same, and its name can reach nowhere else.
#![no_main]

use std::path::Component;

use libfuzzer_sys::fuzz_target;
use shaper_agent::spec::Target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(target) = text.parse::<Target>() else { return };
    let printed = target.to_string();
    assert_eq!(printed.parse::<Target>().as_ref(), Ok(&target));
    assert!(!printed.contains(char::is_control), "{printed:?}");
    match target {
        Target::Iface(name) => assert!(name.len() <= 15 && !name.contains('/') && name != ".."),
        Target::Pid(pid) => assert!(pid > 0),
        Target::Netns(name) => assert!(name.starts_with('/') || !name.split('/').any(|part| part == "..")),
        Target::Container(name) => {
            assert!(
                !name.starts_with(['-', '/']) && !name.split('/').any(|part| matches!(part, "" | "." | ".."))
            );
        }
        Target::Cgroup(path) => {
            assert!(path.is_absolute() && !path.components().any(|part| part == Component::ParentDir));
        }
    }
});
