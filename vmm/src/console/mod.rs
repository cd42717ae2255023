//! The monitor's own terminal: as the guest's console, as a source of signals, and as the place of log lines.

mod error;
mod escape;
mod logger;
mod signals;
mod stdin;
mod terminal;

pub use error::ConsoleError;
pub use escape::{EscapeParser, Typed};
pub use logger::install as install_logger;
pub use signals::{SignalSubscriber, Signals, StopSignal};
pub use stdin::{ConsoleInput, StdinSubscriber};
pub use terminal::{RawTerminal, restore as restore_terminal};
