//! Writing to standard output, whose reader may leave early.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

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

/// Shows a report to people, and writes it for programs to the file at `path`, if there is one. If that
/// is `-`, standard output is the programs'.
pub(super) fn print_report(
    text: &str,
    report: &impl Serialize,
    path: Option<&Path>,
) -> Result<(), ClientError> {
    match path {
        Some(path) if path == Path::new("-") => {
            eprint!("{text}");
            print(&to_json(report))
        }
        Some(path) => {
            print(text)?;
            write_report(path, report)
        }
        None => print(text),
    }
}

fn write_report(path: &Path, report: &impl Serialize) -> Result<(), ClientError> {
    fs::write(path, to_json(report)).map_err(|source| ClientError::Report {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn report_is_written_as_the_monitor_gave_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        let report = json!({ "schema": 1, "outcome": "completed", "later_field": [1] });
        write_report(&path, &report).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!(written, report);
        let error = write_report(Path::new("/nonexistent/report.json"), &report).unwrap_err();
        assert!(
            error.to_string().contains("/nonexistent/report.json"),
            "{error}"
        );
    }
}
