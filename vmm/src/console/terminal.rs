//! Raw mode of the terminal on standard input, undone on every way out.
//!
//! The settings to return to are kept in one place for the whole process, so that a panic on any
//! thread, which may abort the process without dropping anything, puts them back as well.

use std::io;
use std::panic;
use std::sync::{Mutex, Once, PoisonError};

use rustix::process::getpgrp;
use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcsetattr};

use super::ConsoleError;

/// The settings before raw mode; nothing when the terminal is not in raw mode.
static ORIGINAL: Mutex<Option<Termios>> = Mutex::new(None);

/// The panic hook is set at most once in a process.
static PANIC_HOOK: Once = Once::new();

/// The terminal on standard input, in raw mode: each key arrives as it is typed, Ctrl-C included, and
/// output is not translated. Dropping it restores the terminal.
#[derive(Debug)]
pub struct RawTerminal {
    _private: (),
}

impl RawTerminal {
    /// Switches to raw mode; does nothing if standard input is no terminal, or if this process runs in
    /// its background, where changing it would stop the process.
    ///
    /// # Errors
    /// If the terminal refuses.
    pub fn enter() -> Result<Option<Self>, ConsoleError> {
        if !isatty(stdin()) || tcgetpgrp(stdin()).ok() != Some(getpgrp()) {
            return Ok(None);
        }
        PANIC_HOOK.call_once(restore_before_panic_message);
        let failed = |errno: rustix::io::Errno| ConsoleError::Terminal {
            source: errno.into(),
        };
        let original = tcgetattr(stdin()).map_err(failed)?;
        let mut raw = original.clone();
        raw.make_raw();
        // Kept before the switch: a panic in between restores what is still in place.
        *lock() = Some(original);
        tcsetattr(stdin(), OptionalActions::Now, &raw).map_err(|errno| {
            *lock() = None;
            failed(errno)
        })?;
        Ok(Some(Self { _private: () }))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Leaves raw mode, if the terminal is in it. For those who end the process without dropping its values.
pub fn restore() {
    if let Some(original) = lock().take()
        && let Err(errno) = tcsetattr(stdin(), OptionalActions::Now, &original)
    {
        log::warn!("cannot restore the terminal: {}", io::Error::from(errno));
    }
}

/// How a line ends on the terminal as it is now.
pub(super) fn line_end() -> &'static str {
    if lock().is_some() { "\r\n" } else { "\n" }
}

fn restore_before_panic_message() {
    let default_hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        restore();
        default_hook(info);
    }));
}

fn lock() -> std::sync::MutexGuard<'static, Option<Termios>> {
    // Whatever a panicking thread left there is whole: the value is replaced in one step.
    ORIGINAL.lock().unwrap_or_else(PoisonError::into_inner)
}
