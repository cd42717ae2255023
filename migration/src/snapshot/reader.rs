//! Opening a snapshot: its small file is read and checked, its memory is not touched.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::Digest;
use crate::offer::Offer;
use crate::page::{to_u64, to_usize};
use crate::snapshot::base::BasePages;
use crate::snapshot::contents::Contents;
use crate::snapshot::directory::{NEW_WORKING_SET, SNAPSHOT, WORKING_SET, failed, replace};
use crate::snapshot::format::{HEADER_BYTES, Header, Identity, Part};
use crate::snapshot::memory::StoredMemory;
use crate::snapshot::working_set::WorkingSet;
use crate::snapshot::{Result, SnapshotError};

/// How often a snapshot is opened that is being replaced meanwhile. Our choice: each time another
/// snapshot must have been completed between two system calls.
const TRIES: u32 = 8;

/// A whole snapshot that was opened. It stays what it is even if its directory is removed or another
/// snapshot takes its place there.
#[derive(Debug)]
pub struct Snapshot {
    directory: PathBuf,
    identity: Identity,
    offer: Offer,
    state: Vec<u8>,
    digest: Digest,
    chunks: Vec<Digest>,
    memory: Arc<StoredMemory>,
}

impl Snapshot {
    /// Opens the snapshot in `directory`.
    ///
    /// # Errors
    /// If there is none, if it is only a difference to another one, or if anything but its pages is
    /// damaged or not for this version.
    pub fn open(directory: &Path) -> Result<Self> {
        match open_any(directory)? {
            (snapshot, None) => Ok(snapshot),
            (_, Some(BasePages { identity, .. })) => {
                Err(SnapshotError::Difference { base: identity })
            }
        }
    }

    fn with_memory(
        directory: &Path,
        contents: Contents,
        identity: Identity,
    ) -> Result<(Self, Option<BasePages>)> {
        let Contents {
            offer,
            state,
            memory,
            digest,
            present,
            chunks,
            base,
        } = contents;
        let path = directory.join(memory.file());
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(SnapshotError::MemoryMissing { path });
            }
            Err(error) => return Err(failed("open", &path)(error)),
        };
        let memory = StoredMemory::new(file, path, present, chunks.clone())?;
        let snapshot = Self {
            directory: directory.to_owned(),
            identity,
            offer,
            state,
            digest,
            chunks,
            memory: Arc::new(memory),
        };
        Ok((snapshot, base))
    }

    /// The directory it was opened in.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What tells it from every other snapshot.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// What its VM needs of a host.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// The state of vCPUs and devices, in the encoding of whoever [saved](crate::SourceVm::save) it.
    pub fn state(&self) -> &[u8] {
        &self.state
    }

    /// The digest of all memory, as in the report of a migration.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its memory.
    pub fn memory(&self) -> &Arc<StoredMemory> {
        &self.memory
    }

    /// What was learned from earlier resumes; nothing, if there was none.
    ///
    /// # Errors
    /// If the record is of another snapshot, is damaged or cannot be read. That is no reason not to
    /// resume.
    pub fn working_set(&self) -> Result<WorkingSet> {
        let path = self.directory.join(WORKING_SET);
        let pages = self.memory.pages();
        let limit = WorkingSet::record_bytes(pages);
        let read = File::open(&path).and_then(|file| {
            // Read in one piece: its length is known before.
            let bytes = file.metadata()?.len().min(limit);
            let mut record = vec![0; to_usize(bytes)];
            file.read_exact_at(&mut record, 0).map(|()| record)
        });
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(WorkingSet::empty(pages)),
            Err(error) => Err(failed("read", &path)(error)),
            Ok(record) => WorkingSet::decode(&record, self.identity, pages).map_err(|source| {
                SnapshotError::WorkingSet {
                    directory: self.directory.clone(),
                    source,
                }
            }),
        }
    }

    /// Keeps what was learned for the next resume, unless another snapshot has taken the place of
    /// this one.
    ///
    /// # Errors
    /// If the directory cannot be written. That costs only speed.
    pub fn keep_working_set(&self, set: &WorkingSet) -> Result<()> {
        let (_, current) = read_contents(&self.directory)?;
        if current != self.identity {
            return Ok(());
        }
        let (new, path) = (
            self.directory.join(NEW_WORKING_SET),
            self.directory.join(WORKING_SET),
        );
        let record = set.encode(self.identity);
        replace(&new, &path, &record).map_err(failed("write", &path))
    }

    /// The digest of the pages of each chunk that are not zero.
    pub(super) fn chunks(&self) -> &[Digest] {
        &self.chunks
    }
}

/// Opens what is in `directory`: a whole snapshot, or what a difference holds itself and the pages that
/// it does not.
///
/// # Errors
/// As for [`Snapshot::open`], but that it may be a difference.
pub(super) fn open_any(directory: &Path) -> Result<(Snapshot, Option<BasePages>)> {
    let mut before = None;
    for _ in 0..TRIES {
        let (contents, identity) = read_contents(directory)?;
        match Snapshot::with_memory(directory, contents, identity) {
            // Its memory goes when another snapshot takes its place.
            Err(SnapshotError::MemoryMissing { .. }) if before != Some(identity) => {
                before = Some(identity);
            }
            opened => return opened,
        }
    }
    Err(SnapshotError::Busy {
        directory: directory.to_owned(),
    })
}

/// Reads the file `snapshot`: header and table first, then what they admit.
fn read_contents(directory: &Path) -> Result<(Contents, Identity)> {
    let path = directory.join(SNAPSHOT);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let directory = directory.to_owned();
            return Err(SnapshotError::Missing { directory });
        }
        Err(error) => return Err(failed("open", &path)(error)),
    };
    let file_bytes = file.metadata().map_err(failed("read", &path))?.len();
    decode(file_bytes, |offset, bytes| {
        let mut part = vec![0; bytes];
        file.read_exact_at(&mut part, offset)
            .map_err(failed("read", &path))?;
        Ok(part)
    })
}

/// Decodes a file of `file_bytes`; `read` gives so many bytes from an offset on, all of which lie in
/// the file.
pub(super) fn decode(
    file_bytes: u64,
    read: impl Fn(u64, usize) -> Result<Vec<u8>>,
) -> Result<(Contents, Identity)> {
    let bytes = HEADER_BYTES.min(to_usize(file_bytes));
    let header = Header::decode(&read(0, bytes)?, file_bytes)?;
    let table_end = header.table_end();
    if file_bytes < table_end {
        return Err(SnapshotError::Truncated {
            part: Part::Header,
            found: file_bytes,
            expected: table_end,
        });
    }
    let table = read(to_u64(HEADER_BYTES), header.table_bytes())?;
    let (entries, identity) = header.table(&table)?;
    let contents = Contents::read(&entries, |entry| {
        let section = read(entry.offset, to_usize(entry.bytes))?;
        entry.check(&section)?;
        Ok(section)
    })?;
    Ok((contents, identity))
}
