//! The key that both ends share, and the file it stands in.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::page::to_u64;

/// Shortest key. Our choice: 128 bits, if they are random, are beyond guessing.
pub const MIN_KEY_BYTES: usize = 16;

/// Longest key. Our choice: more adds nothing to an HMAC.
pub const MAX_KEY_BYTES: usize = 4 << 10;

/// Permission bits that let others than the owner read or change a file.
const OTHERS: u32 = 0o077;

/// A secret of 16 bytes to 4 KiB. Its memory is overwritten when the last clone is dropped.
#[derive(Clone)]
pub struct Key(Arc<Zeroizing<Vec<u8>>>);

impl fmt::Debug for Key {
    /// Hides the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// The key that consists of these bytes.
    ///
    /// # Errors
    /// If they are fewer than [`MIN_KEY_BYTES`] or more than [`MAX_KEY_BYTES`].
    pub fn new(bytes: Vec<u8>) -> Result<Self> {
        let bytes = Zeroizing::new(bytes);
        if (MIN_KEY_BYTES..=MAX_KEY_BYTES).contains(&bytes.len()) {
            Ok(Self(Arc::new(bytes)))
        } else {
            let length_bytes = to_u64(bytes.len());
            Err(Error::KeySize { length_bytes })
        }
    }

    /// The key in a file: all of its bytes but a line end at the end.
    ///
    /// # Errors
    /// If the file cannot be read, is too short or too long for a key, is no regular file, or
    /// others than its owner may read or write it.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |source| Error::KeyRead {
            path: path.to_owned(),
            source,
        };
        // Without the flag a FIFO that nobody writes to would be waited for.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(nonblocking);
        let file = file.open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(ErrorKind::InvalidInput.into()));
        }
        check_private(path, metadata.mode())?;
        // A byte more than the longest key with its line end tells that there is more; the room is
        // there from the start, since a vector that grows leaves its old content behind.
        let limit = MAX_KEY_BYTES + 3;
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * limit));
        file.take(to_u64(limit))
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Self::new(line.to_vec())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Checks that only its owner may read or change a file of this mode.
///
/// # Errors
/// If others may.
pub(crate) fn check_private(path: &Path, mode: u32) -> Result<()> {
    if mode & OTHERS == 0 {
        return Ok(());
    }
    Err(Error::KeyExposed {
        path: path.to_owned(),
        mode: mode & 0o7777,
    })
}
