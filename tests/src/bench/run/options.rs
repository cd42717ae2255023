//! What the skiff at hand understands.

use crate::bench::BenchError;
use crate::bench::cell::LinkKind;
use crate::bench::column::Column;
use crate::harness::{HarnessError, Host};

/// Exit code of a command line that was not understood (`skiff help`).
const WRONG_USAGE: i32 = 2;

/// Why this skiff cannot move a VM as `column` says, in its own words; `None` if it can. No VM is
/// needed to find out: the command line is read before one is looked for.
///
/// # Errors
/// skiff cannot be started.
pub fn refusal(column: &Column) -> Result<Option<String>, BenchError> {
    let host = Host::new()?;
    let mut words = vec!["migrate", "nobody", "--to", "127.0.0.1:1"];
    words.extend(column.options.iter().map(String::as_str));
    match host.command(&words) {
        Err(HarnessError::Failed { status, output, .. }) if status.code() == Some(WRONG_USAGE) => {
            Ok(Some(first_line(&output)))
        }
        Ok(_) | Err(HarnessError::Failed { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn first_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty());
    line.unwrap_or("it says nothing").trim().to_owned()
}

/// What `skiff receive` must be told to wait on a link.
#[derive(Debug)]
pub struct ReceiverOptions {
    open: &'static [&'static str],
}

impl ReceiverOptions {
    /// Asks skiff which options it has.
    ///
    /// # Errors
    /// It does not even explain itself.
    pub fn ask() -> Result<Self, BenchError> {
        let help = Host::new()?.command(&["receive", "--help"])?;
        Ok(Self::of(&help))
    }

    fn of(help: &str) -> Self {
        // A skiff that knows keys wants to hear that none is meant, except on loopback.
        let open: &[_] = if help.contains("--insecure") {
            &["--insecure"]
        } else {
            &[]
        };
        Self { open }
    }

    /// The options beyond name and address.
    #[must_use]
    pub fn for_link(&self, link: LinkKind) -> &'static [&'static str] {
        match link {
            LinkKind::Loopback => &[],
            LinkKind::Shaped { .. } => self.open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receiver_is_told_to_be_open_only_if_it_can_be_and_need_be() {
        let old = ReceiverOptions::of("--listen HOST:PORT");
        let new = ReceiverOptions::of("--listen HOST:PORT\n--insecure  no key");
        assert!(old.for_link(LinkKind::GIGABIT).is_empty());
        assert!(new.for_link(LinkKind::Loopback).is_empty());
        assert_eq!(new.for_link(LinkKind::GIGABIT), ["--insecure"]);
    }

    #[test]
    fn reason_of_a_refusal_is_its_first_line() {
        assert_eq!(
            first_line("\n unknown option\nusage: ..."),
            "unknown option"
        );
    }
}
