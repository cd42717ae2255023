//! The table against the results that it stands for.

use serde_json::json;

use super::*;

/// The repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn table_in_the_readme_is_that_of_the_results_kept_beside_it() {
    let root = Path::new(ROOT);
    let table = table(&root.join("tests/measured")).unwrap();
    let present = present(&root.join("README.md")).unwrap();
    assert_eq!(present, table, "`make bench-readme` writes it anew");
}

#[test]
fn results_of_the_last_run_have_every_field_that_the_table_shows() {
    let last = Path::new(ROOT).join("results");
    for benchmark in shown() {
        let Ok(results) = read(&last, benchmark) else {
            println!("{}: not measured here", benchmark.name());
            continue;
        };
        // One that was asked for a part of it has only that.
        let rows = ROWS.iter().filter(|row| row.benchmark == benchmark);
        let shown = rows.filter(|row| measured(row, &results).is_ok()).count();
        assert!(shown > 0, "{}: no row can be made of it", benchmark.name());
    }
}

#[test]
fn row_names_a_field_for_each_of_its_numbers() {
    for row in ROWS {
        let places = row.shown.matches("{}").count();
        assert_eq!(places, row.fields.len(), "{}", row.what);
    }
}

#[test]
fn field_is_found_through_lists_conditions_forms_and_ratios() {
    let results = json!({
        "cells": [
            { "suite": "sizes", "memory_mib": 256, "spread": { "ms": { "median": 1.5 } } },
            { "suite": "sizes", "memory_mib": 8192, "spread": { "ms": { "median": 1.25 } } },
            { "suite": "sorts, of 1.5", "spread": { "ms": null } },
        ],
        "rows": [{ "what": "8G lazy: first", "values": [3.0, 1.0, 2.0] }],
        "rounds": [{ "one": 2.0, "other": 4.0 }, { "one": 9.0, "other": 3.0 }],
    });
    for (field, found) in [
        ("cells[suite=sizes].spread.ms.median", &[1.5, 1.25][..]),
        (
            "cells[suite=sizes&memory_mib=8192].spread.ms.median",
            &[1.25],
        ),
        ("cells[suite=sorts, of 1.5].spread.ms.median", &[]),
        ("cells[suite=size].spread.ms.median", &[]),
        ("rows[what=*lazy: *].values", &[2.0]),
        ("rows[what=*lazy: f].values", &[]),
        ("rows[what=8G*].values / 1000", &[0.002]),
        ("rounds.one / rounds.other", &[0.5, 3.0]),
        ("rounds.one / rounds.none", &[]),
        ("nothing.at.all", &[]),
    ] {
        assert_eq!(field::find(field, &results), found, "{field}");
    }
}

#[test]
fn numbers_are_shown_with_two_digits_and_as_a_range() {
    for (numbers, text) in [
        (&[0.123][..], "0.12"),
        (&[1.04], "1.0"),
        (&[12.6, 4.56, 5.0], "4.6 to 13"),
        (&[1368.4], "1368"),
        (&[0.0], "0"),
        (&[0.996, 1.004], "1.0"),
    ] {
        assert_eq!(field::shown(numbers).as_deref(), Some(text));
    }
    assert_eq!(field::shown(&[]), None);
}

#[test]
fn results_are_kept_without_single_runs_and_the_readme_keeps_what_is_around() {
    let place = tempfile::tempdir().unwrap();
    let (results, kept) = (place.path().join("results"), place.path().join("kept"));
    let readme = place.path().join("README.md");
    let text = format!("before\n{}old\n{}after\n", MARKS[0], MARKS[1]);
    fs::write(&readme, text).unwrap();
    let error = keep(&results, &kept).unwrap_err();
    assert!(matches!(error, ReadmeError::File(_)), "{error}");
    fs::create_dir(&results).unwrap();
    for benchmark in Benchmark::ALL {
        let measured = json!({ "command": "bench", "cells": [{ "runs": 1, "samples": [1] }] });
        fs::write(path_of(&results, benchmark), measured.to_string()).unwrap();
    }
    keep(&results, &kept).unwrap();
    let cell = &read(&kept, Benchmark::Boot).unwrap()["cells"][0];
    assert_eq!(*cell, json!({ "runs": 1 }));
    let error = update(&readme, &kept).unwrap_err();
    assert!(matches!(error, ReadmeError::Field { .. }), "{error}");
    assert_eq!(present(&readme).unwrap(), "old\n");
    fs::write(&readme, "no place").unwrap();
    let error = update(&readme, &kept).unwrap_err();
    assert!(matches!(error, ReadmeError::NoPlace { .. }), "{error}");
}
