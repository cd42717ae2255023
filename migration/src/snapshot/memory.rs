//! The memory file: pages at their place, then a digest for each of them.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | n * 4096 | 4096 | page n; a hole if the page is zero, or the base's |
//! | pages * 4096 + c * 4096 | 4096 | the digests of the 512 pages of chunk c, 8 bytes each, little-endian; a hole if all are zero |
//!
//! The section `chunks` of the file `snapshot` has the sum of each chunk's digests. So a page can be
//! checked without the other 511: the digests of its chunk are read once and compared with that sum,
//! and each page with its digest, which a source computes anyway.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::bitmap::PageBitmap;
use crate::digest::Digest;
use crate::page::{PAGE_BYTES, PageIndex, PageRange, bytes_of, to_u64, to_usize};
use crate::snapshot::contents::chunks_of;
use crate::snapshot::{CHUNK_PAGES, Result, SnapshotError};

/// Digests of a chunk.
const CHUNK_DIGESTS: usize = to_usize(CHUNK_PAGES);

/// Pages that are read before they are checked. Our choice: 256 KiB, which are in the processor's cache
/// by then.
const CHECKED_PAGES: u64 = 64;

/// Where the digests of `chunk` lie in the file of a memory of `pages` pages.
pub(super) fn digests_offset(pages: u64, chunk: u64) -> u64 {
    bytes_of(pages + chunk)
}

/// Length of the file of a memory of `pages` pages.
pub(super) fn file_bytes(pages: u64) -> u64 {
    digests_offset(pages, chunks_of(pages))
}

/// The chunk in which a page lies.
pub(super) fn chunk_of(page: PageIndex) -> usize {
    to_usize(page.get() / CHUNK_PAGES)
}

/// The memory of a snapshot, of which every page is checked when it is read.
pub struct StoredMemory {
    file: File,
    path: PathBuf,
    present: PageBitmap,
    chunks: Vec<Digest>,
    /// The digests of the pages of each chunk that was touched.
    digests: Vec<OnceLock<Box<[Digest]>>>,
}

impl StoredMemory {
    /// The memory in `file`, which has the pages of `present` and whose chunks have these digests.
    ///
    /// # Errors
    /// If the file has another length than it must.
    pub(super) fn new(
        file: File,
        path: PathBuf,
        present: PageBitmap,
        chunks: Vec<Digest>,
    ) -> Result<Self> {
        let expected = file_bytes(present.pages());
        let found = file
            .metadata()
            .map_err(|source| failed(&path, source))?
            .len();
        if found != expected {
            return Err(SnapshotError::MemoryLength {
                path,
                found,
                expected,
            });
        }
        let mut digests = Vec::new();
        digests.resize_with(chunks.len(), OnceLock::new);
        Ok(Self {
            file,
            path,
            present,
            chunks,
            digests,
        })
    }

    /// Number of pages of the VM.
    pub fn pages(&self) -> u64 {
        self.present.pages()
    }

    /// The pages that are in the file; all others are zero.
    pub fn present(&self) -> &PageBitmap {
        &self.present
    }

    /// The file itself, for who maps it: page `n` lies at `n * 4096`, and pages that are not
    /// [present](Self::present) read as zero. It is not written as long as any snapshot names it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Reads the pages of `range` into `into`, and checks them.
    ///
    /// # Errors
    /// If the file cannot be read, is shorter than it was, or a page is damaged.
    ///
    /// # Panics
    /// If a page does not exist or `into` has another length than the range.
    pub fn read(&self, range: PageRange, into: &mut [u8]) -> Result<()> {
        assert_eq!(
            range.bytes(),
            into.len(),
            "the buffer is as long as the range"
        );
        let mut at = range.first().get();
        let mut done = at;
        while let Some(run) = self.present.next_run(at, range.end()) {
            let offset = |page: u64| to_usize(page - range.first().get()) * PAGE_BYTES;
            into[offset(done)..offset(run.first().get())].fill(0);
            let first = run.first().get();
            let end = run.end().min(first + CHECKED_PAGES);
            let piece = PageRange::between(first, end).expect("a run is not empty");
            let content = &mut into[offset(first)..offset(end)];
            self.read_at(content, bytes_of(first))?;
            self.check(piece, content)?;
            (at, done) = (end, end);
        }
        let rest = to_usize(done - range.first().get()) * PAGE_BYTES;
        into[rest..].fill(0);
        Ok(())
    }

    /// Reads pages that are present, and does not check them.
    ///
    /// # Errors
    /// If the file cannot be read, or is shorter than it was.
    pub(super) fn read_unchecked(&self, range: PageRange, into: &mut [u8]) -> Result<()> {
        self.read_at(into, bytes_of(range.first().get()))
    }

    /// The digest of a page that is present, or in a difference the base's.
    ///
    /// # Errors
    /// If the digests of its chunk cannot be read or are damaged.
    pub(super) fn digest_of(&self, page: PageIndex) -> Result<Digest> {
        let digests = self.digests_in(chunk_of(page))?;
        Ok(digests[to_usize(page.get() % CHUNK_PAGES)])
    }

    fn check(&self, range: PageRange, content: &[u8]) -> Result<()> {
        for (page, digest) in range.iter().zip(Digest::of_each(range, content)) {
            if self.digest_of(page)? != digest {
                return Err(SnapshotError::Page {
                    path: self.path.clone(),
                    page: page.get(),
                });
            }
        }
        Ok(())
    }

    /// The digests of the pages of a chunk, which are read and checked the first time.
    fn digests_in(&self, chunk: usize) -> Result<&[Digest]> {
        if let Some(digests) = self.digests[chunk].get() {
            return Ok(digests);
        }
        let mut bytes = [0; PAGE_BYTES];
        self.read_at(&mut bytes, digests_offset(self.pages(), to_u64(chunk)))?;
        let (digests, _) = bytes.as_chunks();
        let digests: Box<[Digest]> = digests
            .iter()
            .map(|bits| Digest::from_bits(u64::from_le_bytes(*bits)))
            .collect();
        debug_assert_eq!(digests.len(), CHUNK_DIGESTS);
        if Digest::sum(&digests) != self.chunks[chunk] {
            let first = to_u64(chunk) * CHUNK_PAGES;
            return Err(SnapshotError::Chunk {
                path: self.path.clone(),
                first,
                last: self.pages().min(first + CHUNK_PAGES) - 1,
            });
        }
        // Two threads may have read the same.
        Ok(self.digests[chunk].get_or_init(|| digests))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> Result<()> {
        let read = self.file.read_exact_at(into, offset);
        read.map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => SnapshotError::MemoryLength {
                path: self.path.clone(),
                found: self.file.metadata().map_or(0, |metadata| metadata.len()),
                expected: file_bytes(self.pages()),
            },
            _ => failed(&self.path, source),
        })
    }
}

fn failed(path: &std::path::Path, source: io::Error) -> SnapshotError {
    SnapshotError::File {
        action: "read",
        path: path.to_owned(),
        source,
    }
}

impl fmt::Debug for StoredMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredMemory")
            .field("path", &self.path)
            .field("pages", &self.pages())
            .finish_non_exhaustive()
    }
}
