//! Flags from the environment, the way Sedna reads it.

use clap::{
    CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::Cli;

impl Cli {
    /// Reads the process's arguments and environment.
    ///
    /// # Errors
    ///
    /// clap's own, which also stand for `--help` and `--version`.
    pub fn from_process() -> Result<Self, clap::Error> {
        let mut command = Self::command().mut_args(|arg| {
            let Some(name) = arg.get_env().map(ToOwned::to_owned) else { return arg };
            let set = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            let upper = name.to_ascii_uppercase();
            match (set(&name), set(&upper)) {
                (true, _) => arg,
                (false, true) => arg.env(upper),
                // Sedna counts an empty variable as unset; clap would not.
                (false, false) => arg.env(None::<&'static str>),
            }
        });
        // Only a built command can spell its flags.
        command.build();
        let environment: Vec<(String, String)> = command
            .get_arguments()
            .filter_map(|arg| Some((arg.to_string(), arg.get_env()?.to_str()?.to_owned())))
            .collect();
        let matches = command.try_get_matches_from_mut(std::env::args_os());
        let parsed = matches.and_then(|mut matches| Self::from_arg_matches_mut(&mut matches));
        parsed.map_err(|error| name_variable(error, &environment).format(&mut command))
    }
}

/// clap names only the flag of a bad value; this names the variable that the value came from.
fn name_variable(error: clap::Error, environment: &[(String, String)]) -> clap::Error {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return error };
    let Some((_, name)) = environment.iter().find(|(arg, _)| arg == flag) else { return error };
    let long = flag.split([' ', '=']).next().unwrap_or(flag);
    let on_command_line = std::env::args()
        .any(|arg| arg == long || arg.strip_prefix(long).is_some_and(|rest| rest.starts_with('=')));
    if on_command_line || !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return error;
    }
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    let value = std::env::var(name).unwrap_or_default();
    clap::Error::raw(
        ErrorKind::ValueValidation,
        format!("invalid value {value:?} in the environment variable {name} ({long}): {cause}\n"),
    )
}
