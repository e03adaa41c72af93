//! Stores that are reached over a network.

use std::env;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, GetOptions, GetResult, ObjectStore, RetryConfig};

use url::Url;

use crate::error::chain;
use crate::location::Place;
use crate::source::Limits;

/// Sedna's names for what S3's own clients call otherwise.
const SEDNAS: [(&str, AmazonS3ConfigKey); 3] = [
    ("S3_ENDPOINT_URL", AmazonS3ConfigKey::Endpoint),
    ("ACCESS_KEY_ID", AmazonS3ConfigKey::AccessKeyId),
    ("SECRET_ACCESS_KEY", AmazonS3ConfigKey::SecretAccessKey),
];

/// An object somewhere else.
#[derive(Debug)]
pub(crate) struct Remote {
    store: Box<dyn ObjectStore>,
    path: Path,
    /// Parts of the URL that nobody must read in a log.
    secrets: Vec<String>,
}

impl Remote {
    /// Prepares to ask for what is at `place`; nothing is asked yet.
    ///
    /// # Errors
    ///
    /// What is wrong with the place or the environment, in words.
    pub(crate) fn new(place: &Place, limits: &Limits) -> Result<Self, String> {
        let retry = RetryConfig {
            backoff: BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() },
            max_retries: limits.retries,
            retry_timeout: Duration::from_secs(3600),
        };
        let client = |http: bool| {
            ClientOptions::new()
                .with_connect_timeout(limits.connect)
                .with_read_timeout(limits.stall)
                // How long a download may take depends on the file and the line; that it goes on is what counts.
                .with_timeout_disabled()
                // Also keeps redirects of https from leading to http.
                .with_allow_http(http)
        };
        let in_words = |error: object_store::Error| chain(&error);
        match place {
            Place::Path(_) => Err("it is on this machine".into()),
            Place::Http(url) => {
                let store = HttpBuilder::new()
                    .with_url(url.as_str())
                    .with_client_options(client(url.scheme() == "http"))
                    .with_retry(retry)
                    .build()
                    .map_err(in_words)?;
                // The URL as it was written, query included, is the whole of it.
                Ok(Self { store: Box::new(store), path: Path::default(), secrets: secrets(url) })
            }
            Place::S3 { bucket, key } => {
                let mut builder = AmazonS3Builder::new().with_client_options(client(false)).with_retry(retry);
                for (key, value) in s3_settings(env::vars()) {
                    builder = builder.with_config(key, value);
                }
                let store = builder.with_bucket_name(bucket).build().map_err(in_words)?;
                let path = Path::parse(key).map_err(|error| chain(&error))?;
                Ok(Self { store: Box::new(store), path, secrets: Vec::new() })
            }
        }
    }

    /// Asks for the object.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub(crate) async fn get(&self, options: GetOptions) -> object_store::Result<GetResult> {
        self.store.get_opts(&self.path, options).await
    }

    /// What went wrong, in words that may be shown.
    pub(crate) fn reason(&self, error: &object_store::Error) -> String {
        if let object_store::Error::NotFound { .. } = error {
            return "there is nothing (404 Not Found)".into();
        }
        let text = self.secrets.iter().fold(chain(error), |text, secret| text.replace(secret, "…"));
        if text.contains(INSTANCE_METADATA) {
            return format!(
                "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for what \
                 anybody may read ({text})"
            );
        }
        text
    }
}

/// What must not be shown of a URL: its query, and who asks with which password.
fn secrets(url: &Url) -> Vec<String> {
    let authority = url.as_str().split("://").nth(1).and_then(|rest| rest.split('/').next());
    let user = authority.and_then(|authority| authority.rsplit_once('@')).map(|(user, _)| user);
    [url.query(), user].into_iter().flatten().filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect()
}

/// Where a cloud's own machines get their credentials; asked when the environment has none.
const INSTANCE_METADATA: &str = "169.254.169.254";

/// The settings of S3 in an environment: those of its own clients, `AWS_…`, and before them Sedna's.
fn s3_settings(variables: impl Iterator<Item = (String, String)>) -> Vec<(AmazonS3ConfigKey, String)> {
    let (mut sednas, mut own) = (Vec::new(), Vec::new());
    for (name, value) in variables.filter(|(_, value)| !value.is_empty()) {
        if let Some((_, key)) = SEDNAS.iter().find(|(sedna, _)| *sedna == name) {
            if *key == AmazonS3ConfigKey::Endpoint && value.starts_with("http://") {
                sednas.push((allow_http(), "true".to_owned()));
            }
            sednas.push((*key, value));
        } else if name.starts_with("AWS_")
            && let Ok(key) = name.to_ascii_lowercase().parse()
        {
            own.push((key, value));
        }
    }
    // The later one counts.
    sednas.extend(own);
    sednas
}

fn allow_http() -> AmazonS3ConfigKey {
    AmazonS3ConfigKey::Client(object_store::ClientConfigKey::AllowHttp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_in_a_url() {
        let secrets = |url: &str| secrets(&Url::parse(url).unwrap());
        assert_eq!(secrets("https://me:word@host:1/a@b?s=1"), ["s=1", "me:word"]);
        assert_eq!(secrets("https://token@host/"), ["token"]);
        assert!(secrets("https://host/a@b?").is_empty());
    }

    #[test]
    fn settings_of_s3() {
        let variables = [
            ("AWS_REGION", "eu-1"),
            ("AWS_ENDPOINT", "https://own"),
            ("AWS_SOMETHING_NEW", "x"),
            ("AWS_BUCKET_NAME", ""),
            ("S3_ENDPOINT_URL", "http://minio:9000"),
            ("SECRET_ACCESS_KEY", "s"),
            ("PATH", "/bin"),
        ];
        let owned = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = s3_settings(owned);
        let value = |key| settings.iter().rev().find(|(k, _)| *k == key).map(|(_, value)| value.as_str());
        assert_eq!(value(AmazonS3ConfigKey::Region), Some("eu-1"));
        assert_eq!(value(AmazonS3ConfigKey::Endpoint), Some("https://own"));
        assert_eq!(value(AmazonS3ConfigKey::SecretAccessKey), Some("s"));
        assert_eq!(value(allow_http()), Some("true"));
        assert_eq!(settings.len(), 5);
    }
}
