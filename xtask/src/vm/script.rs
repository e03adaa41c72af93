//! What a guest is told, as text that its shell reads.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// `words` as one shell command.
pub(super) fn line<S: AsRef<[u8]>>(words: impl IntoIterator<Item = S>) -> Vec<u8> {
    let words: Vec<_> = words.into_iter().map(|word| quoted(word.as_ref())).collect();
    let mut line = words.join(&b' ');
    line.push(b'\n');
    line
}

/// A shell's assignment of `value` to the variable `name`.
pub(super) fn assignment(name: &str, value: &OsStr) -> Vec<u8> {
    let mut line = format!("{name}=").into_bytes();
    line.extend(quoted(value.as_bytes()));
    line.push(b'\n');
    line
}

/// `word` in quotes, whatever bytes it has.
fn quoted(word: &[u8]) -> Vec<u8> {
    let parts: Vec<_> = word.split(|&byte| byte == b'\'').collect();
    let mut text = b"'".to_vec();
    text.extend(parts.join(&br"'\''"[..]));
    text.push(b'\'');
    text
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_back_any_bytes() {
        let words: [&[u8]; 6] =
            [b"printf", b"%s|", b"", b"it's $HOME `x` \\", b"two\nlines\t\"", b"\xff'\x01'"];
        let script = OsString::from_vec(line(words));
        let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(output.stdout, b"|it's $HOME `x` \\|two\nlines\t\"|\xff'\x01'|");
        let mut script = assignment("NAME", OsStr::new("a 'b' $c"));
        script.extend_from_slice(b"printf %s \"$NAME\"");
        let output = Command::new("sh").arg("-c").arg(OsString::from_vec(script)).output().unwrap();
        assert_eq!(output.stdout, b"a 'b' $c");
    }
}
