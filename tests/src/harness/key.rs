//! Keys by which monitors under test trust each other.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::HarnessError;

/// Writes a key file that only its owner can read.
///
/// # Errors
/// There is such a file, or it cannot be written.
pub fn write_key(path: &Path, content: &str) -> Result<(), HarnessError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(content.as_bytes()))
        .map_err(HarnessError::process("write a key"))
}
