//! What is claimed of moves, and what does not hold.

use serde_json::Value;

use super::{list, numeric, text};
use crate::page::Table;

/// What is claimed, and whether it holds.
pub(super) fn claims(title: &str, verdicts: &Value) -> Table {
    let row = |verdict: &Value| {
        let bound = verdict["bound"].as_object();
        let bound = bound.and_then(|bound| bound.iter().next());
        let claimed =
            bound.map(|(side, limit)| format!("{} {}", side.replace('-', " "), numeric(limit)));
        vec![
            text(&verdict["claim"]),
            text(&verdict["subject"]),
            numeric(&verdict["measured"]),
            claimed.unwrap_or_default(),
            text(&verdict["judgement"]),
        ]
    };
    Table {
        title: title.to_owned(),
        heads: vec!["claim", "of", "measured", "claimed", "verdict"],
        rows: list(verdicts).iter().map(row).collect(),
    }
}

/// What does not hold, and why.
pub(super) fn shortfalls(shortfalls: &Value) -> Table {
    let row = |short: &Value| {
        let reason = short["reason"].as_str();
        let reason = reason.unwrap_or("the moves do not say").to_owned();
        vec![text(&short["claim"]), text(&short["subject"]), reason]
    };
    Table {
        title: "Why claims about moves beside QEMU's do not hold".to_owned(),
        heads: vec!["claim", "of", "why"],
        rows: list(shortfalls).iter().map(row).collect(),
    }
}
