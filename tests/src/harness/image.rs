//! Images of which the probe knows what it reads.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

const PAGE_BYTES: usize = 4096;

/// Writes an image of so many pages, each of which begins with its number and is zero behind it, as the
/// probe's workloads `disk-seq` and `disk-random` expect.
///
/// # Errors
/// The file cannot be written.
pub fn write_numbered_image(path: &Path, pages: u64) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut page = [0; PAGE_BYTES];
    for number in 0..pages {
        page[..8].copy_from_slice(&number.to_le_bytes());
        file.write_all(&page)?;
    }
    file.flush()
}
