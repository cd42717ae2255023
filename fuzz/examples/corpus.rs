//! Writes the corpora from the real encoders, or (`--check`) says which files differ from them.
//! Files that are none of its own, such as inputs that once failed, it leaves alone.

use skiff_fuzz as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let check = std::env::args().nth(1).as_deref() == Some("--check");
    let mut stale = 0;
    for (path, bytes) in seeds() {
        if fs::read(&path).is_ok_and(|found| found == bytes) {
            continue;
        }
        stale += 1;
        let outcome = if check {
            eprintln!(
                "corpus: {} is not what the encoder makes now",
                path.display()
            );
            Ok(())
        } else {
            write(&path, &bytes)
        };
        if let Err(error) = outcome {
            eprintln!("corpus: cannot write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    if check && stale > 0 {
        eprintln!("corpus: run 'make fuzz-corpus' and commit what it writes");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Where each seed belongs, and its bytes.
fn seeds() -> Vec<(PathBuf, Vec<u8>)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let migration = migration::fuzzing::seeds().into_iter();
    migration
        .chain(vmm::fuzzing::seeds())
        .map(|seed| (corpus.join(seed.target).join(seed.name), seed.bytes))
        .collect()
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().expect("a seed lies in its target's folder");
    fs::create_dir_all(folder)?;
    fs::write(path, bytes)
}
