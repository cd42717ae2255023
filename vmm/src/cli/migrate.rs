//! `skiff migrate`: asks a monitor to move its VM, shows how it goes, and ends as the move ended.

use std::path::Path;

use serde_json::Value;

use super::args::MigrateArgs;
use super::errand;
use super::errors::{ClientError, CommandError};
use super::output::print_report;
use super::summary::{COMPLETED, Summary};
use crate::control::{Failure, Request, VmAddress};

/// Moves a VM; returns when it is at its destination, or is known not to get there.
pub(super) fn migrate(args: MigrateArgs) -> Result<(), CommandError> {
    let request = Request::Migrate(args.config());
    let MigrateArgs { vm, report, .. } = args;
    let result = errand::attend(&vm, &request)?;
    conclude(&vm, &result, report.as_deref())
}

/// Shows the summary and the report, each in its place; fails if the VM has not moved.
fn conclude(vm: &VmAddress, result: &Value, path: Option<&Path>) -> Result<(), CommandError> {
    let summary = Summary::of(result);
    print_report(&format!("{vm}: {summary}"), result, path)?;
    Ok(verdict(summary)?)
}

/// Only a VM that is completely at its destination has been moved.
fn verdict(summary: Summary) -> Result<(), ClientError> {
    let Summary {
        outcome, reason, ..
    } = summary;
    let reason = reason.map(|message| Failure {
        message,
        causes: Vec::new(),
        remedy: None,
    });
    match outcome.as_str() {
        COMPLETED => Ok(()),
        "resumed-at-source" => Err(ClientError::NotMoved { reason }),
        "lost" => Err(ClientError::Lost { reason }),
        _ => Err(ClientError::UnknownOutcome { outcome }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn verdict_on_anything_but_a_completed_move_says_where_the_vm_is() {
        assert!(verdict(Summary::of(&json!({ "outcome": "completed" }))).is_ok());
        for (outcome, words) in [
            ("resumed-at-source", "stays at the source"),
            ("lost", "is lost"),
            ("odd", "`odd`"),
        ] {
            let report = json!({ "outcome": outcome, "reason": "the peer closed" });
            let error = verdict(Summary::of(&report)).unwrap_err();
            let told = format!("{:#}", Failure::of(&error));
            assert!(told.contains(words), "{told}");
            assert_eq!(
                told.contains("caused by: the peer closed"),
                outcome != "odd"
            );
        }
    }
}
