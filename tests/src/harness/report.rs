//! What the report of a move promises of its own numbers.

use serde_json::Value;

/// How far times that belong together may differ, in ms.
const TIME_TOLERANCE_MS: f64 = 1.0;

/// What is wrong with the sums in a report of a completed move, in words; `None` if they hold.
#[must_use]
pub fn contradiction(report: &Value) -> Option<String> {
    let number = |path: &str| {
        report
            .pointer(path)
            .and_then(Value::as_f64)
            .unwrap_or(f64::NAN)
    };
    let page = |name: &str| number(&format!("/pages/{name}"));
    let parts = report["downtime_parts_ms"].as_object();
    let parts_ms: f64 = parts
        .into_iter()
        .flatten()
        .map(|(_, part)| part.as_f64().unwrap_or(f64::NAN))
        .sum();
    let times_ms = number("/preparation_ms") + number("/downtime_ms") + number("/resume_ms");
    let settled = page("transferred") - page("duplicate") + page("zero") + page("absent");
    let sums = [
        (
            "the parts of the downtime",
            parts_ms,
            number("/downtime_ms"),
        ),
        ("the times", times_ms, number("/total_ms")),
    ];
    let pages = [
        ("the pages that are there", settled, page("total")),
        (
            "the pages that were sent",
            page("pushed") + page("demanded"),
            page("transferred"),
        ),
    ];
    let tell = |(what, sum, whole): (&str, f64, f64)| format!("{what} are {sum}, not {whole}");
    // What is no number differs from everything.
    let agree = |sum: f64, whole: f64, by: f64| (sum - whole).abs() <= by;
    let wrong_time = sums
        .into_iter()
        .find(|&(_, sum, whole)| !agree(sum, whole, TIME_TOLERANCE_MS));
    let wrong_pages = pages
        .into_iter()
        .find(|&(_, sum, whole)| !agree(sum, whole, 0.0));
    let digest = &report["digest"];
    wrong_time.or(wrong_pages).map(tell).or_else(|| {
        (digest["source"] != digest["destination"]).then(|| format!("digests: {digest}"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn report_whose_sums_hold_has_no_contradiction_and_any_other_has() {
        let report = json!({
            "preparation_ms": 1.0, "downtime_ms": 2.0, "resume_ms": 3.0, "total_ms": 6.0,
            "downtime_parts_ms": { "pause": 0.5, "state": 1.5 },
            "pages": {
                "total": 10, "transferred": 5, "duplicate": 1, "zero": 2, "absent": 4,
                "pushed": 4, "demanded": 1
            },
            "digest": { "source": "a", "destination": "a" }
        });
        assert_eq!(contradiction(&report), None);
        for (path, value) in [
            ("/downtime_parts_ms/state", json!(3.0)),
            ("/total_ms", json!(8.0)),
            ("/total_ms", json!(null)),
            ("/pages/absent", json!(5)),
            ("/pages/demanded", json!(2)),
            ("/digest/source", json!("b")),
        ] {
            let mut wrong = report.clone();
            *wrong.pointer_mut(path).unwrap() = value;
            assert!(contradiction(&wrong).is_some(), "{path}");
        }
    }
}
