//! From the words on the command line to a command.

use std::ffi::OsString;

use argh::{FromArgs, SubCommands};

use super::args::{Command, Skiff};
use crate::control::Failure;

/// The name the help texts show, whatever the binary's file is called.
const PROGRAM: &str = "skiff";

/// What was typed.
#[derive(Debug)]
pub(super) enum Parsed {
    /// Something to do.
    Command(Box<Command>),
    /// Something to print: help, or the version.
    Text(String),
}

/// What is wrong with what was typed, and the command whose help explains it (empty if none was recognized).
#[derive(Debug)]
pub(super) struct Misuse {
    pub(super) failure: Failure,
    pub(super) topic: &'static str,
}

/// Parses the arguments of a process, the first of which is its name.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, Misuse> {
    let words: Vec<String> = args
        .into_iter()
        .skip(1)
        .map(OsString::into_string)
        .collect::<Result<_, _>>()
        .map_err(|word| {
            misuse(
                "",
                format!("the argument `{}` is not UTF-8", word.display()),
            )
        })?;
    let words = split_assignments(words);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let topic = topic_of(&words);
    match Skiff::from_args(&[PROGRAM], &words) {
        Ok(Skiff { version: true, .. }) => Ok(Parsed::Text(format!(
            "{PROGRAM} {}\n",
            env!("CARGO_PKG_VERSION")
        ))),
        Ok(Skiff {
            command: Some(command),
            ..
        }) => Ok(Parsed::Command(Box::new(command))),
        Ok(Skiff { command: None, .. }) => Err(misuse("", "no command is given".to_owned())),
        Err(exit) if exit.status.is_ok() => Ok(Parsed::Text(trim_lines(&exit.output))),
        Err(exit) => Err(misuse(topic, tidy(&exit.output))),
    }
}

/// The command that explains a command, or all of them.
pub(super) fn help_command(topic: &str) -> String {
    match topic {
        "" => format!("{PROGRAM} help"),
        topic => format!("{PROGRAM} help {topic}"),
    }
}

fn misuse(topic: &'static str, message: String) -> Misuse {
    Misuse {
        failure: Failure {
            message,
            causes: Vec::new(),
            remedy: None,
        },
        topic,
    }
}

/// The command that the words begin with.
fn topic_of(words: &[&str]) -> &'static str {
    let first = words
        .iter()
        .find(|word| !word.starts_with('-') && **word != "help");
    Command::COMMANDS
        .iter()
        .find(|command| Some(&command.name) == first)
        .map_or("", |command| command.name)
}

/// Takes `--option=value` apart, except where the word is itself the value of `--cmdline`.
fn split_assignments(words: Vec<String>) -> Vec<String> {
    let mut split: Vec<String> = Vec::with_capacity(words.len());
    for word in words {
        let is_value = split.last().is_some_and(|last| last == "--cmdline");
        match word.split_once('=') {
            Some((option, value)) if !is_value && is_option(option) => {
                split.extend([option.to_owned(), value.to_owned()]);
            }
            _ => split.push(word),
        }
    }
    split
}

fn is_option(word: &str) -> bool {
    word.strip_prefix("--").is_some_and(|name| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    })
}

/// The parser indents empty lines too.
fn trim_lines(text: &str) -> String {
    text.lines()
        .map(str::trim_end)
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// Makes a message of the parser one of ours: lower case, on one line.
fn tidy(message: &str) -> String {
    let message = message.trim();
    let message = message.strip_prefix("Error parsing ").unwrap_or(message);
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut characters = line.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => line,
    }
}
