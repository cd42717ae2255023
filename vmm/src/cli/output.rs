//! Writing to standard output, whose reader may leave early.

use std::io::{self, Write};

use serde::Serialize;

use super::errors::ClientError;

/// How a command shows what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Prints text that brings its own line ends; a reader that has left, as in `skiff ls | head -1`, is no failure.
pub(super) fn print(text: &str) -> Result<(), ClientError> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(ClientError::Output { source: error })
        }
        _ => Ok(()),
    }
}

/// The value as indented JSON with a final line end.
pub(super) fn to_json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value)
        .expect("what is shown has only text keys and fields that serialize without fail");
    text.push('\n');
    text
}
