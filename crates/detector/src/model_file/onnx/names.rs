//! The classes' names as exporters note them: a Python dictionary, `{0: 'person', 1: "driver's seat"}`, or list.

use std::iter::Peekable;
use std::str::Chars;

/// Most names that are read; the description's check has a smaller bound.
const MAX_NAMES: usize = 4096;

/// The names in order; none if the text is something else.
pub(super) fn parse(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim().chars().peekable();
    let (keys, end) = match rest.next()? {
        '{' => (true, '}'),
        '[' => (false, ']'),
        _ => return None,
    };
    let mut names = Vec::new();
    loop {
        skip_spaces(&mut rest);
        if rest.next_if_eq(&end).is_some() {
            return rest.next().is_none().then_some(names);
        }
        if keys {
            let mut key = String::new();
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                key.push(digit);
            }
            // Names are written in the order of their classes.
            if key.parse() != Ok(names.len()) {
                return None;
            }
            skip_spaces(&mut rest);
            rest.next_if_eq(&':')?;
            skip_spaces(&mut rest);
        }
        if names.len() == MAX_NAMES {
            return None;
        }
        names.push(string(&mut rest)?);
        skip_spaces(&mut rest);
        if rest.peek() != Some(&end) {
            rest.next_if_eq(&',')?;
        }
    }
}

fn skip_spaces(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|character| character.is_whitespace()).is_some() {}
}

/// A string in single or double quotes.
fn string(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let quote = rest.next_if(|character| matches!(character, '\'' | '"'))?;
    let mut string = String::new();
    loop {
        match rest.next()? {
            '\\' => match rest.next()? {
                escaped @ ('\\' | '\'' | '"') => string.push(escaped),
                _ => return None,
            },
            end if end == quote => return Some(string),
            other => string.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_python_writes() {
        let names = |text| parse(text).map(|names| names.join("|"));
        assert_eq!(names("{0: 'person', 1: \"driver's seat\"}").unwrap(), "person|driver's seat");
        assert_eq!(names(r#"{0: 'it\'s "so"', }"#).unwrap(), "it's \"so\"");
        assert_eq!(names("['a', 'b']").unwrap(), "a|b");
        assert_eq!(names("{}").unwrap(), "");
        for other in
            ["", "{1: 'a'}", "{0: 'a', 0: 'b'}", "{0: 'a'", "{0: a}", "{0: 'a'} x", "{0 'a'}", "{0: 'a\\n'}"]
        {
            assert_eq!(names(other), None, "{other}");
        }
    }
}
