//! The probe is compiled by the build script, out of sight of the lints; here it is looked at.

use std::path::Path;
use std::process::Command;

/// The workspace's lints that apply to a program made of hardware access.
const LINTS: [&str; 13] = [
    "warnings",
    "missing_docs",
    "missing_debug_implementations",
    "unsafe_op_in_unsafe_fn",
    "clippy::all",
    "clippy::allow_attributes",
    "clippy::cast_lossless",
    "clippy::cast_possible_truncation",
    "clippy::cast_possible_wrap",
    "clippy::cast_sign_loss",
    "clippy::ptr_as_ptr",
    "clippy::undocumented_unsafe_blocks",
    "clippy::unwrap_used",
];

#[test]
fn source_has_nothing_to_warn_of() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("probe/main.rs");
    let sysroot = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .unwrap();
    let sysroot = String::from_utf8(sysroot.stdout).unwrap();
    let output = Command::new("clippy-driver")
        .args([
            "--edition=2024",
            "--crate-name=probe",
            "--crate-type=bin",
            "-Cpanic=abort",
        ])
        .args([
            "--target=x86_64-unknown-linux-gnu",
            "--emit=metadata",
            "--sysroot",
        ])
        .arg(sysroot.trim())
        .args(LINTS.iter().map(|lint| format!("-D{lint}")))
        .args(["--out-dir", env!("CARGO_TARGET_TMPDIR")])
        .arg(source)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
