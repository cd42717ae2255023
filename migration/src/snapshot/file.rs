//! A memory file while it is written, whoever has the pages.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::bitmap::PageBitmap;
use crate::digest::Digest;
use crate::page::{PageIndex, PageRange, bytes_of, to_u64, to_usize};
use crate::snapshot::contents::{MemoryName, chunks_of};
use crate::snapshot::directory::{NewSnapshot, failed};
use crate::snapshot::disk::EarlySync;
use crate::snapshot::memory::{digests_offset, file_bytes};
use crate::snapshot::{CHUNK_PAGES, Result};

/// Pages read and written at a time: 512 KiB, which stay in the processor's cache meanwhile.
pub(super) const PIECE_PAGES: u64 = 128;

/// A memory file that is being written.
pub(super) struct MemoryFile<'a> {
    new: &'a NewSnapshot,
    path: PathBuf,
    early: EarlySync<'a>,
    present: PageBitmap,
    /// Of each page that is not zero.
    digests: Vec<Digest>,
    written_pages: u64,
}

/// What is known of a memory file that is complete.
pub(super) struct Sealed {
    pub(super) name: MemoryName,
    pub(super) present: PageBitmap,
    pub(super) chunks: Vec<Digest>,
    /// Bytes written to it, pages and digests.
    pub(super) written_bytes: u64,
}

impl<'a> MemoryFile<'a> {
    /// Begins with the empty file of `new`, for a memory of `pages` pages.
    pub(super) fn new(new: &'a NewSnapshot, pages: u64, early: EarlySync<'a>) -> Result<Self> {
        let path = new.memory_path();
        new.memory()
            .set_len(file_bytes(pages))
            .map_err(failed("write", &path))?;
        Ok(Self {
            new,
            path,
            early,
            present: PageBitmap::empty(pages),
            digests: vec![Digest::default(); to_usize(pages)],
            written_pages: 0,
        })
    }

    /// The pages in the file.
    pub(super) fn present(&self) -> &PageBitmap {
        &self.present
    }

    /// Pages that were written, each as often as it was.
    pub(super) fn written_pages(&self) -> u64 {
        self.written_pages
    }

    /// Writes the pages of `run`.
    pub(super) fn write(&mut self, run: PageRange, content: &[u8]) -> Result<()> {
        for (page, digest) in run.iter().zip(Digest::of_each(run, content)) {
            self.digests[page.subscript()] = digest;
        }
        self.present.insert_range(run);
        self.written_pages += run.pages();
        self.write_at(content, bytes_of(run.first().get()))?;
        self.early.wrote(bytes_of(self.written_pages));
        Ok(())
    }

    /// Keeps the digest of a page that is in another file.
    pub(super) fn note(&mut self, page: PageIndex, digest: Digest) {
        self.digests[page.subscript()] = digest;
    }

    /// Writes the digests, so that the file is complete, and waits for what the disk is at.
    pub(super) fn finish(self) -> Result<Sealed> {
        let pages = self.present.pages();
        let mut chunks = Vec::with_capacity(to_usize(chunks_of(pages)));
        let mut written_bytes = bytes_of(self.written_pages);
        for (chunk, digests) in (0..).zip(self.digests.chunks(to_usize(CHUNK_PAGES))) {
            chunks.push(Digest::sum(digests));
            if digests.iter().any(|digest| *digest != Digest::default()) {
                let bytes: Vec<u8> = digests
                    .iter()
                    .flat_map(|digest| digest.to_bits().to_le_bytes())
                    .collect();
                self.write_at(&bytes, digests_offset(pages, chunk))?;
                written_bytes += to_u64(bytes.len());
            }
        }
        self.early.finish().map_err(failed("write", &self.path))?;
        Ok(Sealed {
            name: self.new.name(),
            present: self.present,
            chunks,
            written_bytes,
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.new
            .memory()
            .write_all_at(bytes, offset)
            .map_err(failed("write", &self.path))
    }
}
