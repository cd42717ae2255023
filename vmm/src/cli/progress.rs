//! How far something is, shown while it goes on.

use std::io::{self, IsTerminal, Write};

use super::summary::progress_line;
use crate::control::Progress;

/// One line on standard error that is overwritten as the work goes on; if that is no terminal, one
/// line for each step of the work.
#[derive(Debug)]
pub(super) struct ProgressDisplay {
    is_terminal: bool,
    shown: bool,
    step: Option<(String, u32)>,
}

impl ProgressDisplay {
    /// Shows nothing yet.
    pub(super) fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            shown: false,
            step: None,
        }
    }

    /// Shows how far it is.
    pub(super) fn show(&mut self, progress: &Progress) {
        if self.is_terminal {
            self.shown = true;
            draw(&progress_line(progress));
            return;
        }
        let step = (progress.phase.clone(), progress.round);
        if self.step.as_ref() != Some(&step) {
            self.step = Some(step);
            // As in `draw`.
            let _unwritten = writeln!(io::stderr(), "{}", progress_line(progress));
        }
    }

    /// Makes room for other lines.
    pub(super) fn clear(&mut self) {
        if self.shown {
            self.shown = false;
            draw("");
        }
    }
}

/// Replaces the current line: carriage return, and EL of ECMA-48 to erase what was there.
fn draw(text: &str) {
    // A terminal that cannot be written to is no reason to give up.
    let _unwritten = write!(io::stderr(), "\r\x1b[K{text}");
}
