//! Pages on their way into a memory file.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::bitmap::PageBitmap;
use crate::digest::Digest;
use crate::page::{PAGE_BYTES, PageIndex, PageRange, bytes_of, to_u64, to_usize};
use crate::ram::RamMapping;
use crate::snapshot::contents::{MemoryName, chunks_of};
use crate::snapshot::directory::{NewSnapshot, failed};
use crate::snapshot::memory::{digests_offset, file_bytes};
use crate::snapshot::writer::disk::EarlySync;
use crate::snapshot::{CHUNK_PAGES, Result};
use crate::source::is_zero;

/// Pages read and written at a time: 512 KiB, which stay in the processor's cache meanwhile.
pub(super) const PIECE_PAGES: u64 = 128;

/// A memory file that is being written.
pub(super) struct MemoryWriter<'a> {
    new: &'a NewSnapshot,
    path: PathBuf,
    pub(super) ram: RamMapping,
    early: EarlySync<'a>,
    present: PageBitmap,
    /// Of each page that is present.
    digests: Vec<Digest>,
    content: Vec<u8>,
    looked_at: PageBitmap,
    written_pages: u64,
}

/// What is known of a memory file that is complete.
pub(super) struct Sealed {
    pub(super) name: MemoryName,
    pub(super) present: PageBitmap,
    pub(super) chunks: Vec<Digest>,
    pub(super) digest_bytes: u64,
}

impl<'a> MemoryWriter<'a> {
    /// Begins with the empty file of `new`.
    pub(super) fn new(new: &'a NewSnapshot, ram: RamMapping, early: EarlySync<'a>) -> Result<Self> {
        let (pages, path) = (ram.pages(), new.memory_path());
        new.memory()
            .set_len(file_bytes(pages))
            .map_err(failed("write", &path))?;
        Ok(Self {
            new,
            path,
            ram,
            early,
            present: PageBitmap::empty(pages),
            digests: vec![Digest::default(); to_usize(pages)],
            content: Vec::new(),
            looked_at: PageBitmap::empty(pages),
            written_pages: 0,
        })
    }

    pub(super) fn pages(&self) -> u64 {
        self.ram.pages()
    }

    /// Pages that were written, each as often as it was.
    pub(super) fn written_pages(&self) -> u64 {
        self.written_pages
    }

    /// Pages that were found to be zero or written.
    pub(super) fn looked_at_pages(&self) -> u64 {
        self.looked_at.count()
    }

    /// Nobody has to look at these pages any more: they are zero.
    pub(super) fn skip(&mut self, range: PageRange) {
        self.looked_at.insert_range(range);
    }

    /// Writes the pages of `range`, at most [`PIECE_PAGES`], but for those that are zero and always
    /// were.
    pub(super) fn write(&mut self, range: PageRange) -> Result<()> {
        let mut content = std::mem::take(&mut self.content);
        content.resize(range.bytes(), 0);
        self.ram.read(range, &mut content);
        let written = self.write_content(range, &content);
        self.content = content;
        self.looked_at.insert_range(range);
        written
    }

    fn write_content(&mut self, range: PageRange, content: &[u8]) -> Result<()> {
        let (pages, _) = content.as_chunks::<PAGE_BYTES>();
        let mut run: Option<PageRange> = None;
        for (page, bytes) in range.iter().zip(pages) {
            if !is_zero(bytes) || self.present.contains(page) {
                let first = run.map_or(page.get(), |run| run.first().get());
                run = PageRange::between(first, page.get() + 1);
            } else if let Some(run) = run.take() {
                self.write_run(run, part_of(content, range, run))?;
            }
        }
        run.map_or(Ok(()), |run| {
            self.write_run(run, part_of(content, range, run))
        })
    }

    fn write_run(&mut self, run: PageRange, content: &[u8]) -> Result<()> {
        for (page, digest) in run.iter().zip(Digest::of_each(run, content)) {
            self.digests[page.subscript()] = digest;
        }
        self.present.insert_range(run);
        self.written_pages += run.pages();
        self.write_at(content, bytes_of(run.first().get()))?;
        self.early.wrote(bytes_of(self.written_pages));
        Ok(())
    }

    /// Writes the digests, so that the file is complete, and waits for what the disk is at.
    pub(super) fn finish(self) -> Result<Sealed> {
        let pages = self.pages();
        let mut chunks = Vec::with_capacity(to_usize(chunks_of(pages)));
        let mut digest_bytes = 0;
        for (chunk, digests) in (0..).zip(self.digests.chunks(to_usize(CHUNK_PAGES))) {
            chunks.push(Digest::sum(digests));
            let first = PageIndex::new(chunk * CHUNK_PAGES).get();
            if self.present.next_run(first, first + CHUNK_PAGES).is_some() {
                let bytes: Vec<u8> = digests
                    .iter()
                    .flat_map(|digest| digest.to_bits().to_le_bytes())
                    .collect();
                self.write_at(&bytes, digests_offset(pages, chunk))?;
                digest_bytes += to_u64(bytes.len());
            }
        }
        self.early.finish().map_err(failed("write", &self.path))?;
        Ok(Sealed {
            name: self.new.name(),
            present: self.present,
            chunks,
            digest_bytes,
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.new
            .memory()
            .write_all_at(bytes, offset)
            .map_err(failed("write", &self.path))
    }
}

/// The part of `content`, which is that of `range`, that is of `run`.
fn part_of(content: &[u8], range: PageRange, run: PageRange) -> &[u8] {
    let from = to_usize(run.first().get() - range.first().get()) * PAGE_BYTES;
    &content[from..from + run.bytes()]
}
