//! The benchmark itself, on one small cell: it measures, judges, and says what it left out.

use std::env;
use std::fs;
use std::process::Command;

use serde_json::Value;
use vmm::host::HostKvm;

#[test]
fn benchmark_of_one_cell_writes_samples_floors_verdicts_and_what_it_left_out() {
    if let Err(error) = HostKvm::open() {
        let required = env::var("REQUIRE_KVM").as_deref() == Ok("1");
        assert!(!required, "bench: {error}");
        println!("bench: not run here ({error})");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.json");
    let words = [
        "--suite",
        "moves",
        "--workload",
        "random",
        "--pace",
        "2000",
        "--link",
        "loopback",
        "--memory-mib",
        "128",
        "--hot-mib",
        "16",
        "--runs",
        "1",
        "--patience",
        "0",
        "--column",
        "known:--mode post-copy",
        "--column",
        "unknown:--mode post-copy --teleport",
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_bench-migrate"))
        .args(words)
        .arg("--out")
        .arg(&path)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{said}");
    assert!(printed.contains("rate of bulk UFFDIO_COPY"), "{printed}");

    let results: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let skipped = &results["skipped"][0];
    assert_eq!(skipped["what"], "column unknown");
    assert!(skipped["reason"].as_str().unwrap().contains("--teleport"));
    assert!(results["floors"][0]["median"]["fetch_us"].as_f64().unwrap() > 0.0);
    let cells = results["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 1);
    let sample = &cells[0]["samples"][0];
    assert!(sample["rate_before"].as_f64().unwrap() > 0.0, "{sample}");
    // The image, and what the guest works on.
    assert!(sample["transferred_pages"].as_f64().unwrap() >= 4096.0);
    assert!(!results["verdicts"].as_array().unwrap().is_empty());
}
