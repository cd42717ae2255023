//! Tests of the choice of cells.

use super::*;

fn selection(extent: Extent) -> Selection {
    Selection {
        extent,
        suites: Vec::new(),
        workloads: Vec::new(),
        paces: Vec::new(),
        links: Vec::new(),
        memory_mib: 1024,
        hot_mib: 256,
    }
}

#[test]
fn small_matrix_has_every_suite_and_few_cells() {
    let cells = selection(Extent::Small).cells();
    for suite in Suite::ALL {
        assert!(cells.iter().any(|cell| cell.suite == suite), "{suite}");
    }
    assert!(cells.len() <= 26, "{}", cells.len());
    assert!(cells.iter().all(|cell| cell.hot_mib < cell.memory_mib));
}

#[test]
fn full_matrix_has_what_the_claims_are_about() {
    let cells = selection(Extent::Full).cells();
    let has = |wanted: &dyn Fn(&Cell) -> bool| cells.iter().any(wanted);
    assert!(has(
        &|cell| cell.link == LinkKind::Shaped { mbit_per_s: 100 }
    ));
    assert!(has(&|cell| cell.pace == Pace::PagesPerS(20_000)));
    assert!(has(
        &|cell| cell.workload == Workload::Quicksort { procs: 128 }
    ));
    assert!(has(
        &|cell| cell.suite == Suite::Sizes && cell.memory_mib == 8192
    ));
    assert!(has(&|cell| cell.suite == Suite::Hot && cell.hot_mib == 512));
    for hot_mib in [8, 16, 32, 64, 128, 256, 512] {
        assert!(has(
            &|cell| cell.suite == Suite::Stress && cell.hot_mib == hot_mib
        ));
    }
}

#[test]
fn cell_is_never_measured_twice() {
    let cells = selection(Extent::Full).cells();
    for (index, cell) in cells.iter().enumerate() {
        assert!(!cells[..index].contains(cell), "{cell}");
    }
}

#[test]
fn choice_replaces_what_is_usual() {
    let mut chosen = selection(Extent::Full);
    chosen.suites = vec![Suite::Moves];
    chosen.workloads = vec![Workload::Zipf];
    chosen.paces = vec![Pace::Full];
    chosen.links = vec![LinkKind::Loopback];
    let cells = chosen.cells();
    assert_eq!(cells.len(), 1);
    assert_eq!(cells[0].workload, Workload::Zipf);
}

#[test]
fn suite_parses_what_it_displays_and_nothing_else() {
    for suite in Suite::ALL {
        assert_eq!(suite.to_string().parse(), Ok(suite));
    }
    assert!("all".parse::<Suite>().is_err());
}
