//! The text of a `.cfg` file: sections of options.

use std::fmt::Display;
use std::str::FromStr;

use crate::graph::bounds::MAX_LAYERS;

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The line, from 1.
    pub(super) line: usize,
    pub(super) problem: String,
}

/// A section and its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section<'a> {
    /// Its name, without brackets.
    pub(super) name: &'a str,
    /// The line that it begins in, from 1.
    pub(super) line: usize,
    options: Vec<Setting<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting<'a> {
    key: &'a str,
    value: &'a str,
    line: usize,
}

/// Whether a file looks like a configuration: the first line that says something begins the section of the network.
pub(super) fn is_cfg(bytes: &[u8]) -> bool {
    /// How far comments may reach.
    const LOOKED_AT: usize = 64 << 10;
    let beginning = &bytes[..bytes.len().min(LOOKED_AT)];
    let mut lines = beginning.split(|&byte| byte == b'\n').map(|line| line.trim_ascii());
    let first = lines.find(|line| !line.is_empty() && !is_comment(line[0]));
    first.is_some_and(|line| line.starts_with(b"[net]") || line.starts_with(b"[network]"))
}

fn is_comment(first: u8) -> bool {
    matches!(first, b'#' | b';')
}

/// The sections of a configuration in order.
pub(super) fn sections(text: &str) -> Result<Vec<Section<'_>>, Problem> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let line = index + 1;
        let problem = |problem: &str| Err(Problem { line, problem: problem.into() });
        let text = text.split(['#', ';']).next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        if let Some(rest) = text.strip_prefix('[') {
            let Some(name) = rest.strip_suffix(']') else { return problem("a section's name without `]`") };
            // That of the network is no layer.
            if sections.len() > MAX_LAYERS {
                return problem("too many sections");
            }
            sections.push(Section { name: name.trim(), line, options: Vec::new() });
        } else if let (Some(section), Some((key, value))) = (sections.last_mut(), text.split_once('=')) {
            section.options.push(Setting { key: key.trim(), value: value.trim(), line });
        } else {
            return problem("neither `[section]` nor `key=value` in one");
        }
    }
    Ok(sections)
}

impl<'a> Section<'a> {
    /// A problem of the section as a whole.
    pub(super) fn problem(&self, problem: impl Display) -> Problem {
        Problem { line: self.line, problem: format!("[{}]: {problem}", self.name) }
    }

    /// A problem of an option, or of the section if it is not there.
    pub(super) fn problem_of(&self, key: &str, problem: impl Display) -> Problem {
        let line = self.setting(key).map_or(self.line, |setting| setting.line);
        Problem { line, problem: format!("[{}]: {key}: {problem}", self.name) }
    }

    fn setting(&self, key: &str) -> Option<&Setting<'a>> {
        self.options.iter().find(|setting| setting.key == key)
    }

    /// An option's value. Of several with one key the first counts, as in Darknet.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.setting(key).map(|setting| setting.value)
    }

    /// A number.
    pub(super) fn number<T: FromStr>(&self, key: &str, default: T) -> Result<T, Problem> {
        let Some(text) = self.text(key) else { return Ok(default) };
        text.parse().map_err(|_| {
            self.problem_of(key, format_args!("{:?} is no number that it can be", shortened(text)))
        })
    }

    /// A number that must be there.
    pub(super) fn required<T: FromStr + Default>(&self, key: &str) -> Result<T, Problem> {
        match self.text(key) {
            Some(_) => self.number(key, T::default()),
            None => Err(self.problem(format_args!("{key} is missing"))),
        }
    }

    /// Numbers with commas between them, at most `most`.
    pub(super) fn list<T: FromStr>(&self, key: &str, most: usize) -> Result<Option<Vec<T>>, Problem> {
        let Some(text) = self.text(key) else { return Ok(None) };
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let numbers: Vec<T> = parts
            .take(most + 1)
            .map(|part| {
                let problem = || {
                    self.problem_of(key, format_args!("{:?} is no number that it can be", shortened(part)))
                };
                part.parse().map_err(|_| problem())
            })
            .collect::<Result<_, _>>()?;
        if numbers.len() > most {
            return Err(self.problem_of(key, format_args!("more than {most} numbers")));
        }
        Ok(Some(numbers))
    }

    /// Refuses an option whose value is another than the only one that is supported; `supported` is Darknet's default.
    pub(super) fn only(&self, key: &str, supported: f32) -> Result<(), Problem> {
        match self.number(key, supported)? {
            found if found == supported => Ok(()),
            found => Err(self.problem_of(key, format_args!("{found} is not supported, only {supported}"))),
        }
    }
}

/// The beginning of a value, for a message.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_their_options() {
        let text = "# made by hand\r\n[net]\r\nwidth = 64 # pixels\n\n; more\n[yolo]\nmask=0, 1,2\nwidth=1\nwidth=2\nname=x\n";
        let sections = sections(text).unwrap();
        assert_eq!(
            sections.iter().map(|section| (section.name, section.line)).collect::<Vec<_>>(),
            [("net", 2), ("yolo", 6)]
        );
        assert_eq!(sections[0].number("width", 0).unwrap(), 64);
        assert_eq!(sections[0].number("height", 7).unwrap(), 7);
        assert_eq!(sections[1].list::<usize>("mask", 3).unwrap().unwrap(), [0, 1, 2]);
        assert_eq!(sections[1].number("width", 0).unwrap(), 1);
        let problem = sections[1].list::<usize>("mask", 2).unwrap_err();
        assert_eq!((problem.line, problem.problem.as_str()), (7, "[yolo]: mask: more than 2 numbers"));
        let problem = sections[1].number("name", 0).unwrap_err();
        assert_eq!(
            (problem.line, problem.problem.as_str()),
            (10, "[yolo]: name: \"x\" is no number that it can be")
        );
        let problem = sections[0].required::<usize>("height").unwrap_err();
        assert_eq!((problem.line, problem.problem.as_str()), (2, "[net]: height is missing"));
        let problem = sections[1].only("width", 2.0).unwrap_err();
        assert_eq!(
            (problem.line, problem.problem.as_str()),
            (8, "[yolo]: width: 1 is not supported, only 2")
        );
    }

    #[test]
    fn what_is_no_option_has_a_line() {
        for (text, line) in [("width=1", 1), ("[net]\nwidth", 2), ("\n[net", 2)] {
            assert_eq!(sections(text).unwrap_err().line, line, "{text}");
        }
    }

    #[test]
    fn a_configuration_is_known_by_its_beginning() {
        for yes in ["[net]\n", "# by hand\n\n  [net]\r\nwidth=1", "; x\n[network]"] {
            assert!(is_cfg(yes.as_bytes()), "{yes}");
        }
        for no in ["", "#", "[yolo]\n[net]", "x\n[net]", "{\"[net]\":1}"] {
            assert!(!is_cfg(no.as_bytes()), "{no}");
        }
    }
}
