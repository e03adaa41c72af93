//! The flags and environment variables that say where a model is, the same in every program.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::location::Location;
use crate::source::Source;

/// Where the model is.
#[derive(Debug, Clone, clap::Args)]
pub struct SourceOptions {
    /// The model: a file, a directory with one model file in it, file://…, http(s)://… or s3://BUCKET/KEY. With
    /// #sha256= and 64 digits behind it, only that very content is taken.
    #[arg(
        long,
        value_name = "FILE|DIR|URL",
        env = "MODEL_URL",
        value_parser = OsStringValueParser::new().try_map(|written| Location::parse(&written))
    )]
    model: Option<Location>,

    /// The model's file in --model, where that is a directory or a URL that ends in /.
    #[arg(long, value_name = "NAME", env = "MODEL_NAME")]
    model_name: Option<String>,

    /// Where paths that are not there are looked for, too: the directories of the host are mounted there in Sedna.
    #[arg(long, value_name = "DIR", env = "DATA_PATH_PREFIX", value_parser = OsStringValueParser::new())]
    data_path_prefix: Option<OsString>,

    /// Where models that were fetched are kept [default: sluice/models in XDG_CACHE_HOME or ~/.cache].
    #[arg(long, value_name = "DIR", env = "MODEL_CACHE", value_parser = OsStringValueParser::new())]
    model_cache: Option<OsString>,

    /// How often, in seconds, the source of a model that was fetched is asked whether there is another; 0 for never.
    /// (A file of this machine is looked at all the time.)
    #[arg(
        long,
        value_name = "SECONDS",
        env = "MODEL_POLL_PERIOD_SECONDS",
        default_value = "60",
        value_parser = seconds
    )]
    model_poll: u32,
}

/// Empty is the default, as of every variable.
fn seconds(text: &str) -> Result<u32, String> {
    if text.is_empty() { Ok(60) } else { text.parse().map_err(|error| format!("{error}")) }
}

impl SourceOptions {
    /// The source; none without `--model`. Options that are empty, as variables in templates often are, count as unset.
    pub fn source(&self) -> Option<Source> {
        let path =
            |given: &Option<OsString>| given.as_ref().filter(|given| !given.is_empty()).map(PathBuf::from);
        let source = Source::new(self.model.clone()?)
            .with_name(self.model_name.clone().filter(|name| !name.is_empty()))
            .with_prefix(path(&self.data_path_prefix))
            .with_poll((self.model_poll > 0).then(|| Duration::from_secs(self.model_poll.into())));
        Some(match path(&self.model_cache) {
            Some(directory) => source.with_cache(directory),
            None => source,
        })
    }
}
