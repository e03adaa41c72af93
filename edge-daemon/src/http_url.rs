//! The address of an HTTP server.

use std::{fmt, str::FromStr};

/// The address of a server, such as `http://10.0.0.1:5000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl(String);

impl FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = reqwest::Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
        match url.scheme() {
            "http" => {}
            "https" => return Err("TLS is not built in; use http:// inside a protected network".to_owned()),
            other => return Err(format!("the scheme must be http, not {other}")),
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("there must be no ? or # part".to_owned());
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let parse = |text: &str| text.parse::<HttpUrl>();
        assert_eq!(parse("http://10.0.0.1:5000/").unwrap().to_string(), "http://10.0.0.1:5000");
        assert_eq!(parse("http://[fd00::1]:5000").unwrap().to_string(), "http://[fd00::1]:5000");
        assert!(parse("https://cloud:5000").unwrap_err().contains("TLS"));
        assert!(parse("10.0.0.1:5000").is_err());
        assert!(parse("http://x:5000/?a=b").is_err());
    }
}
