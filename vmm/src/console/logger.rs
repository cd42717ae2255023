//! Log lines on standard error, for people: `skiff: ...`, with the level where it is not the usual one.

use std::env;
use std::io::{self, Write};
use std::str::FromStr;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::terminal::line_end;

/// The environment variable that sets the level: off, error, warn, info, debug or trace.
const LEVEL_VARIABLE: &str = "SKIFF_LOG";

/// One line per phase, and whatever goes wrong.
const DEFAULT_LEVEL: LevelFilter = LevelFilter::Info;

struct StderrLogger;

/// Sends the log of this process to standard error, from the level in `SKIFF_LOG` upwards. Once per process;
/// a second call changes nothing.
pub fn install() {
    if log::set_logger(&StderrLogger).is_err() {
        return;
    }
    log::set_max_level(DEFAULT_LEVEL);
    if let Some(value) = env::var_os(LEVEL_VARIABLE) {
        match value.to_str().map(LevelFilter::from_str) {
            Some(Ok(level)) => log::set_max_level(level),
            _ => log::warn!(
                "{LEVEL_VARIABLE}={} is no level: use off, error, warn, info, debug or trace",
                value.display()
            ),
        }
    }
}

impl Log for StderrLogger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            // Nobody is left to tell if standard error itself fails.
            let _unwritten = io::stderr().write_all(format_line(record, line_end()).as_bytes());
        }
    }

    fn flush(&self) {}
}

/// One write per line, so that lines of several threads do not mix.
fn format_line(record: &Record, end: &str) -> String {
    let text = record.args();
    match record.level() {
        Level::Error => format!("skiff: error: {text}{end}"),
        Level::Warn => format!("skiff: warning: {text}{end}"),
        Level::Info => format!("skiff: {text}{end}"),
        Level::Debug => format!("skiff: debug: {}: {text}{end}", record.target()),
        Level::Trace => format!("skiff: trace: {}: {text}{end}", record.target()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: Level, end: &str) -> String {
        let record = Record::builder()
            .level(level)
            .target("vmm::run")
            .args(format_args!("ready"))
            .build();
        format_line(&record, end)
    }

    #[test]
    fn line_of_each_level_says_what_a_reader_needs() {
        assert_eq!(line(Level::Info, "\n"), "skiff: ready\n");
        assert_eq!(line(Level::Warn, "\r\n"), "skiff: warning: ready\r\n");
        assert_eq!(line(Level::Error, "\n"), "skiff: error: ready\n");
        assert_eq!(line(Level::Debug, "\n"), "skiff: debug: vmm::run: ready\n");
        assert_eq!(line(Level::Trace, "\n"), "skiff: trace: vmm::run: ready\n");
    }
}
