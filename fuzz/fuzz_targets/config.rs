//! A configuration is read, or every fault in it has a place and can be printed on one line.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use shaper_agent::config::{Config, ConfigError};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    match Config::parse(text) {
        Ok(config) => {
            let targets: HashSet<_> = config.limits().iter().map(|spec| &spec.target).collect();
            assert!(targets.len() == config.limits().len() && targets.len() <= Config::MOST_LIMITS);
            assert!(
                config.limits().iter().all(|spec| spec.settings.upload.or(spec.settings.download).is_some())
            );
            assert!(config.changes(&config).is_empty());
            let (from_none, to_none) = (Config::default(), Config::default());
            assert_eq!(from_none.changes(&config).added.len(), targets.len());
            assert_eq!(config.changes(&to_none).removed.len(), targets.len());
        }
        Err(ConfigError::Faults(faults)) => {
            assert!(!faults.list().is_empty());
            for fault in faults.list() {
                assert!(fault.line >= 1 && fault.line <= text.split('\n').count(), "{fault:?}");
                assert!(fault.column >= 1 && fault.column <= text.chars().count() + 1, "{fault:?}");
                assert!(!fault.message.contains(char::is_control), "{fault:?}");
            }
            assert!(!faults.to_string().is_empty());
        }
        Err(error) => panic!("{error}"),
    }
});
