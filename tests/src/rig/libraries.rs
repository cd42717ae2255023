//! Finds the shared libraries that a program of the host needs in the outer VM.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::RigError;

/// Lists the libraries and the loader of a program as absolute paths; none for a static program
/// and for a file that is no program.
pub fn of(path: &Path) -> Result<Vec<PathBuf>, RigError> {
    let read = |source| RigError::ReadInput {
        path: path.to_path_buf(),
        source,
    };
    if !is_elf(path).map_err(read)? {
        return Ok(Vec::new());
    }
    // A path without a slash would be looked up in other places by ldd.
    let absolute = path.canonicalize().map_err(read)?;
    let output = Command::new("ldd")
        .arg(&absolute)
        .env("LC_ALL", "C")
        .output();
    let output = output.map_err(|source| RigError::ListLibraries {
        path: path.to_path_buf(),
        source,
    })?;
    parse(&String::from_utf8_lossy(&output.stdout)).map_err(|Missing(library)| {
        RigError::LibraryMissing {
            path: path.to_path_buf(),
            library: library.to_owned(),
        }
    })
}

/// Whether a file begins like an ELF file.
fn is_elf(path: &Path) -> io::Result<bool> {
    let mut magic = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut magic)?;
    Ok(magic == *b"\x7fELF")
}

/// The name of a library that ldd did not find.
#[derive(Debug, PartialEq, Eq)]
struct Missing<'a>(&'a str);

/// Takes the paths out of what ldd(1) prints. It prints no path for the vDSO and for a static
/// program.
fn parse(text: &str) -> Result<Vec<PathBuf>, Missing<'_>> {
    let mut libraries = Vec::new();
    for line in text.lines().map(str::trim) {
        let location = match line.split_once(" => ") {
            Some((name, "not found")) => return Err(Missing(name)),
            Some((_, location)) => location,
            None => line,
        };
        if location.starts_with('/')
            && let Some((library, _address)) = location.rsplit_once(" (")
        {
            libraries.push(PathBuf::from(library));
        }
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::{Missing, parse};
    use std::path::PathBuf;

    #[test]
    fn dynamic_program_gives_libraries_and_loader() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f19)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f1a)\n";
        let expected = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ]
        .map(PathBuf::from);
        assert_eq!(parse(text), Ok(expected.to_vec()));
    }

    #[test]
    fn static_program_gives_nothing() {
        assert_eq!(parse("\tstatically linked\n"), Ok(Vec::new()));
        assert_eq!(parse(""), Ok(Vec::new()));
    }

    #[test]
    fn library_that_is_not_there_is_named() {
        assert_eq!(
            parse("\tlibodd.so.1 => not found\n"),
            Err(Missing("libodd.so.1"))
        );
    }
}
