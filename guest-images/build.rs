//! Builds the probe guest: one call of the compiler that builds everything else, for the same
//! x86-64 Linux target, without the standard library and with a linker script of its own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The guest's instruction set. On a host with another one, `rustup target add` makes it available.
const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() -> ExitCode {
    let variable = |name: &str| env::var_os(name).expect("cargo sets it for build scripts");
    let source = Path::new(&variable("CARGO_MANIFEST_DIR")).join("probe");
    let image = PathBuf::from(variable("OUT_DIR")).join("probe.elf");
    println!("cargo::rerun-if-changed={}", source.display());

    let mut linker_script = std::ffi::OsString::from("link-arg=-Wl,-T,");
    linker_script.push(source.join("link.ld"));
    let mut compiler = Command::new(variable("RUSTC"));
    compiler
        .args([
            "--edition=2024",
            "--crate-name=probe",
            "--crate-type=bin",
            "--target",
            TARGET,
        ])
        .args([
            "-Copt-level=3",
            "-Ccodegen-units=1",
            "-Cpanic=abort",
            "-Cstrip=symbols",
        ])
        .args(["-Crelocation-model=static", "-Ctarget-cpu=x86-64"])
        .args([
            "-Clink-arg=-nostartfiles",
            "-Clink-arg=-static",
            "-Clink-arg=-no-pie",
        ])
        .args([
            "-Clink-arg=-Wl,--build-id=none",
            "-Clink-arg=-Wl,-z,max-page-size=4096",
            "-C",
        ])
        .arg(linker_script)
        .arg("-o")
        .arg(&image)
        .arg(source.join("main.rs"));
    match compiler.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            println!("cargo::error=the probe guest did not build: {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("cargo::error=the compiler for the probe guest did not start: {error}");
            ExitCode::FAILURE
        }
    }
}
