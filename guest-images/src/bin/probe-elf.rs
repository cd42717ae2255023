//! Writes the probe guest to a file, for monitors that boot ELF files.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), None) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        eprintln!("usage: probe-elf FILE");
        return ExitCode::from(2);
    };
    match std::fs::write(&path, guest_images::PROBE) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probe-elf: cannot write {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
