//! What is made from the command line's own description: completions of shells and the manual page.

use std::io;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

/// The completions of a shell, to be put where it looks for them.
#[must_use]
pub fn completions(shell: Shell, mut command: Command) -> Vec<u8> {
    let name = command.get_name().to_owned();
    // Into memory: the generator panics where it cannot write, for instance into a pipe that nobody reads.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name.clone(), &mut script);
    match String::from_utf8(script) {
        Ok(script) if shell == Shell::Bash => one_spelling(&script, &name).into_bytes(),
        Ok(script) => script.into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

/// Works around <https://github.com/clap-rs/clap/issues/6421>: of a command with a hyphen in its name, the script spells
/// the states that it goes through in one way and those that it looks for in another, so that no flag of a subcommand is
/// ever found.
fn one_spelling(script: &str, name: &str) -> String {
    script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
}

/// The manual page, in roff: one page for the command and its subcommands.
///
/// # Errors
///
/// Only those of writing into memory.
pub fn manual(command: Command) -> io::Result<Vec<u8>> {
    let mut command = command.disable_help_subcommand(true);
    // So that the subcommands know their full names and the flags that hold for all.
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone()).section("8").manual("Sluice");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut subcommands = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()).peekable();
    if subcommands.peek().is_some() {
        heading("SH", "COMMANDS").to_writer(&mut page)?;
    }
    for subcommand in subcommands {
        self::subcommand(subcommand, &mut page)?;
    }
    if let Some(notes) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        heading("SH", "NOTES").to_writer(&mut page)?;
        self::notes(&notes.to_string()).to_writer(&mut page)?;
    }
    Ok(page)
}

/// A subcommand's part of the page. What holds for all is left to the page's own options.
fn subcommand(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let command = command.clone().mut_args(|flag| {
        if flag.is_global_set() || flag.get_id() == "help" { flag.hide(true) } else { flag }
    });
    let man = Man::new(command);
    heading("SS", &name).to_writer(page)?;
    for render in [Man::render_synopsis_section, Man::render_description_section, Man::render_options_section]
    {
        let mut section = Vec::new();
        render(&man, &mut section)?;
        let body = body(&section);
        if !body.is_empty() {
            page.extend_from_slice(b".PP\n");
            page.extend_from_slice(body);
        }
    }
    Ok(())
}

/// A section without what stands in front of it and without its heading.
fn body(section: &[u8]) -> &[u8] {
    let mut lines = section.split_inclusive(|byte| *byte == b'\n');
    let length: usize = lines.by_ref().take_while(|line| !line.starts_with(b".SH")).map(<[u8]>::len).sum();
    let heading = section[length..].split_inclusive(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len);
    &section[length + heading..]
}

fn heading(macro_name: &str, text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control(macro_name, [text]);
    roff
}

/// Notes in which an indented line is an item of a list: a term and what it means.
fn notes(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut in_list = false;
    for line in text.lines() {
        match line.strip_prefix("  ").and_then(|item| item.split_once(' ')) {
            Some((term, meaning)) => {
                roff.control("TP", []);
                roff.text([bold(term)]);
                roff.text([roman(meaning.trim_start())]);
                in_list = true;
            }
            None if line.is_empty() || in_list => {
                roff.control("PP", []);
                if !line.is_empty() {
                    roff.text([roman(line)]);
                }
                in_list = false;
            }
            None => {
                roff.text([roman(line)]);
            }
        }
    }
    roff
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{CommandFactory as _, ValueEnum as _};

    use super::*;
    use crate::cli::Cli;

    /// Every long flag of a command and its subcommands, without the dashes.
    fn flags(command: &Command) -> BTreeSet<String> {
        let own = command.get_arguments().filter(|flag| !flag.is_hide_set());
        let mut flags: BTreeSet<String> = own.filter_map(|flag| flag.get_long().map(str::to_owned)).collect();
        flags.extend(command.get_subcommands().flat_map(self::flags));
        flags
    }

    /// The text as a reader sees it: roff writes a dash as `\-`.
    fn readable(roff: Vec<u8>) -> String {
        String::from_utf8(roff).unwrap().replace("\\-", "-")
    }

    fn mentions(text: &str, flag: &str) -> bool {
        let end = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
        text.match_indices(flag).any(|(at, found)| end(&text[at + found.len()..]))
    }

    #[test]
    fn completions_know_every_flag_and_subcommand() {
        let command = Cli::command();
        let flags = flags(&command);
        assert!(flags.contains("rate") && flags.contains("iface"));
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completions(*shell, command.clone())).unwrap();
            for word in
                flags.iter().map(String::as_str).chain(command.get_subcommands().map(Command::get_name))
            {
                assert!(mentions(&script, word), "{shell}: {word}");
            }
        }
    }

    /// What bash completes the last of `words` to.
    fn completed(script: &std::path::Path, words: &[&str]) -> Option<String> {
        let last = words.len() - 1;
        let program = r#"
            source "$1"; shift
            function=$(complete -p "$1"); function=${function#*-F }; function=${function%% *}
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            echo "${COMPREPLY[*]}"
        "#;
        let shell =
            std::process::Command::new("bash").args(["-c", program, "-"]).arg(script).args(words).output();
        let output = match shell {
            Err(error) => {
                println!("SKIPPED: no bash to complete `{}`: {error}", words[last]);
                return None;
            }
            Ok(output) => output,
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    #[test]
    fn bash_completes() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("completions.bash");
        std::fs::write(&script, completions(Shell::Bash, Cli::command())).unwrap();
        let cases = [
            (&["shaper-agent", "st"][..], "status"),
            (&["shaper-agent", "--dow"], "--download"),
            (&["shaper-agent", "run", "--conf"], "--config"),
            (&["shaper-agent", "clear", "--a"], "--all"),
            (&["shaper-agent", "run", "--config", "x", "--log-format", "j"], "json"),
            (&["shaper-agent", "completions", "fi"], "fish"),
        ];
        for (words, expected) in cases {
            let Some(completed) = completed(&script, words) else { return };
            assert_eq!(completed, expected, "{words:?}");
        }
    }

    #[test]
    fn the_manual_knows_every_flag_and_subcommand() {
        let command = Cli::command();
        let page = readable(manual(command.clone()).unwrap());
        for flag in flags(&command) {
            assert!(mentions(&page, &format!("--{flag}")), "--{flag}");
        }
        for subcommand in command.get_subcommands() {
            let heading = format!(".SS \"shaper-agent {}\"\n", subcommand.get_name());
            assert_eq!(page.matches(&heading).count(), 1, "{heading}");
        }
        assert!(mentions(&page, "SLUICE_BPFFS"));
        assert!(page.starts_with(".ie") && page.contains(".TH shaper-agent 8"), "{page}");
    }

    #[test]
    fn what_holds_for_all_is_said_once() {
        let page = readable(manual(Cli::command()).unwrap());
        let tags = page.lines().filter(|line| line.starts_with("\\fB--bpffs")).count();
        assert_eq!(tags, 1, "{page}");
    }

    #[test]
    fn notes_have_lists() {
        let page = notes("Codes:\n  0   done, or\n  64  gone\n\nNeeds Linux.\n.no request").to_roff();
        let expected =
            "Codes:\n.TP\n\\fB0\\fR\ndone, or\n.TP\n\\fB64\\fR\ngone\n.PP\nNeeds Linux.\n\\&.no request\n";
        assert_eq!(page, expected);
    }
}
