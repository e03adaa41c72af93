//! Sedna's `HEM_PARAMETERS`: `[{"key":"threshold_img","value":"0.9"}, …]`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Parameters of a mining algorithm by key; of a key given twice the last counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters(BTreeMap<String, Value>);

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(f64),
    Text(String),
}

#[derive(Deserialize)]
struct Entry {
    key: String,
    value: Value,
}

/// Why parameters cannot be used.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ParametersError {
    /// Not the JSON that Sedna writes.
    #[error(
        "mining parameters must be a JSON list such as [{{\"key\":\"threshold_img\",\"value\":\"0.9\"}}], or null: {cause}"
    )]
    Malformed {
        /// What the JSON reader says.
        cause: String,
    },
    /// A value that is no number.
    #[error("mining parameter {key} must be a finite number, not {value:?}")]
    NotANumber {
        /// The parameter.
        key: String,
        /// Its value.
        value: String,
    },
}

impl Parameters {
    /// Reads the JSON list; `null` means no parameters. Values may be strings, as Sedna writes them, or numbers.
    ///
    /// # Errors
    ///
    /// [`ParametersError::Malformed`] for anything else.
    pub fn parse(json: &str) -> Result<Self, ParametersError> {
        let entries: Option<Vec<Entry>> = serde_json::from_str(json)
            .map_err(|error| ParametersError::Malformed { cause: error.to_string() })?;
        Ok(Self(entries.into_iter().flatten().map(|entry| (entry.key, entry.value)).collect()))
    }

    /// The number under `key`, or `default`. White space around a number in a string is ignored, as Python's
    /// `float()` does.
    ///
    /// # Errors
    ///
    /// [`ParametersError::NotANumber`] for a string that is none, and for infinities.
    pub fn number(&self, key: &str, default: f64) -> Result<f64, ParametersError> {
        let (number, text) = match self.0.get(key) {
            None => return Ok(default),
            Some(Value::Number(number)) => (Some(*number), number.to_string()),
            Some(Value::Text(text)) => (text.trim().parse().ok(), text.clone()),
        };
        number
            .filter(|number| number.is_finite())
            .ok_or(ParametersError::NotANumber { key: key.to_owned(), value: text })
    }

    /// The keys that are not in `known`.
    pub fn unknown<'a>(&'a self, known: &'a [&str]) -> impl Iterator<Item = &'a str> {
        self.0.keys().map(String::as_str).filter(move |key| !known.contains(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_numbers() {
        let parameters = Parameters::parse(
            r#"[{"key":"a","value":" 0.9 "},{"key":"b","value":1},{"key":"b","value":"2e-1"}]"#,
        )
        .unwrap();
        assert_eq!(parameters.number("a", 0.0), Ok(0.9));
        assert_eq!(parameters.number("b", 0.0), Ok(0.2));
        assert_eq!(parameters.number("c", 0.5), Ok(0.5));
        assert_eq!(parameters.unknown(&["a"]).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn null_and_the_empty_list_are_no_parameters() {
        assert_eq!(Parameters::parse("null"), Ok(Parameters::default()));
        assert_eq!(Parameters::parse("[]"), Ok(Parameters::default()));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for json in ["", "{}", "[{\"key\":\"a\"}]", "threshold=1", "[{\"key\":\"a\",\"value\":[1]}]"] {
            assert!(matches!(Parameters::parse(json), Err(ParametersError::Malformed { .. })), "{json}");
        }
        let words = Parameters::parse(r#"[{"key":"a","value":"high"},{"key":"b","value":"inf"}]"#).unwrap();
        assert!(words.number("a", 0.0).is_err());
        assert!(words.number("b", 0.0).is_err());
    }
}
