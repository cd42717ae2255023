//! The table of results in the README, made of the result files that it stands for.
//!
//! ```text
//! RESULTS/*.json --keep--> tests/measured/*.json --table--> README.md, between two marks
//! ```
//!
//! So each number comes with the command that made it, and a test finds a table that somebody wrote by
//! hand, or a field that no benchmark writes any more.

mod field;
mod rows;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::result_files::{Benchmark, FileError, path_of, read};
use rows::{ROWS, Row};

/// What stands before and behind the table.
const MARKS: [&str; 2] = [
    "<!-- made by `make bench-readme` -->\n",
    "<!-- end of it -->\n",
];

/// What only the page needs: single runs, from which the kept numbers are.
const LEFT_OUT: [&str; 2] = ["pairs", "samples"];

/// A table that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReadmeError {
    /// A file cannot be read or written, or has no results.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nothing is there that a row shows.
    #[error("{benchmark}.json has nothing at `{field}`, for the row `{row}`")]
    Field {
        /// Which file.
        benchmark: &'static str,
        /// What was looked for.
        field: &'static str,
        /// For which row.
        row: &'static str,
    },
    /// The README has no place for it.
    #[error("{path} lacks one of the lines between which the table is")]
    NoPlace {
        /// The README.
        path: PathBuf,
    },
}

/// Copies the results of all benchmarks that the table shows from `results` to `kept`, without single runs.
///
/// # Errors
/// One of them is missing, or cannot be read or written.
pub fn keep(results: &Path, kept: &Path) -> Result<(), ReadmeError> {
    fs::create_dir_all(kept).map_err(FileError::at("make", kept))?;
    for benchmark in shown() {
        let mut value = read(results, benchmark)?;
        leave_out(&mut value);
        let path = path_of(kept, benchmark);
        fs::write(&path, format!("{value:#}\n")).map_err(FileError::at("write", &path))?;
    }
    Ok(())
}

/// Puts the table of the results in `kept` into the README at `path`.
///
/// # Errors
/// A result is missing, or the README cannot be read or written, or has no place for it.
pub fn update(path: &Path, kept: &Path) -> Result<(), ReadmeError> {
    let text = fs::read_to_string(path).map_err(FileError::at("read", path))?;
    let [before, _, after] = parts(&text).ok_or_else(|| no_place(path))?;
    let table = table(kept)?;
    let text = [before, &table, after].concat();
    Ok(fs::write(path, text).map_err(FileError::at("write", path))?)
}

/// The table that stands in the README at `path`.
///
/// # Errors
/// It cannot be read, or has no place for one.
pub fn present(path: &Path) -> Result<String, ReadmeError> {
    let text = fs::read_to_string(path).map_err(FileError::at("read", path))?;
    let [_, table, _] = parts(&text).ok_or_else(|| no_place(path))?;
    Ok(table.to_owned())
}

/// The table of the results in `directory`.
///
/// # Errors
/// A file or a field is missing.
pub fn table(directory: &Path) -> Result<String, ReadmeError> {
    let mut table = "| what | measured | command |\n|---|---|---|\n".to_owned();
    for benchmark in shown() {
        let results = read(directory, benchmark)?;
        let command = results["command"].as_str().unwrap_or_default();
        for row in ROWS.iter().filter(|row| row.benchmark == benchmark) {
            let measured = measured(row, &results)?;
            writeln!(table, "| {} | {measured} | `{command}` |", row.what)
                .expect("there is always room in a string");
        }
    }
    Ok(table)
}

/// The benchmarks of which there are rows.
fn shown() -> impl Iterator<Item = Benchmark> {
    let is_shown = |benchmark: &Benchmark| ROWS.iter().any(|row| row.benchmark == *benchmark);
    Benchmark::ALL.into_iter().filter(is_shown)
}

/// The numbers of a row in their words.
fn measured(row: &Row, results: &Value) -> Result<String, ReadmeError> {
    let mut text = String::new();
    let mut words = row.shown.split("{}");
    text.push_str(words.next().unwrap_or_default());
    for (field, word) in row.fields.iter().zip(words) {
        let numbers = field::find(field, results);
        let shown = field::shown(&numbers).ok_or(ReadmeError::Field {
            benchmark: row.benchmark.name(),
            field,
            row: row.what,
        })?;
        text.push_str(&shown);
        text.push_str(word);
    }
    Ok(text)
}

/// What is before the table, the table, and what is behind it; both marks are outside of it.
fn parts(text: &str) -> Option<[&str; 3]> {
    let [begin, end] = MARKS;
    let from = text.find(begin)? + begin.len();
    let until = from + text[from..].find(end)?;
    Some([&text[..from], &text[from..until], &text[until..]])
}

fn leave_out(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !LEFT_OUT.contains(&key.as_str()));
            map.values_mut().for_each(leave_out);
        }
        Value::Array(list) => list.iter_mut().for_each(leave_out),
        _ => {}
    }
}

fn no_place(path: &Path) -> ReadmeError {
    ReadmeError::NoPlace { path: path.into() }
}
