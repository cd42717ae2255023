//! Reading all memory of a snapshot at once, before anybody runs on it.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::error::Error;
use crate::page::PageRange;
use crate::ram::RamMapping;
use crate::snapshot::contents::chunks_of;
use crate::snapshot::memory::StoredMemory;
use crate::snapshot::{CHUNK_PAGES, Result};

/// Most threads that read. Our choice: more were no faster, since they share the memory bus.
const MAX_THREADS: usize = 4;

/// Pages read at a time: 512 KiB, which stay in the processor's cache until they are copied.
const PIECE_PAGES: u64 = 128;

/// Copies every page that is stored in `memory` to `ram`, which is all zero. Everything is checked.
///
/// # Errors
/// If the file cannot be read, or a page is damaged.
///
/// # Panics
/// If the two differ in size.
pub fn fill(memory: &StoredMemory, ram: &RamMapping) -> Result<()> {
    assert_eq!(memory.pages(), ram.pages(), "the memory of this VM");
    let next_chunk = AtomicU64::new(0);
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        let mut readers = Vec::new();
        for number in 0..cores.min(MAX_THREADS) {
            let name = format!("restore-read-{number}");
            let spawned = thread::Builder::new()
                .name(name.clone())
                .spawn_scoped(scope, || fill_chunks(memory, ram, &next_chunk));
            readers.push(spawned.map_err(|source| Error::Spawn { name, source })?);
        }
        readers
            .into_iter()
            .try_for_each(|reader| reader.join().expect("a reading thread does not panic"))
    })
}

/// Copies chunks that no other thread has taken, as long as there are any.
fn fill_chunks(memory: &StoredMemory, ram: &RamMapping, next: &AtomicU64) -> Result<()> {
    let mut content = Vec::new();
    loop {
        let chunk = next.fetch_add(1, Ordering::Relaxed);
        if chunk >= chunks_of(memory.pages()) {
            return Ok(());
        }
        let end = memory.pages().min((chunk + 1) * CHUNK_PAGES);
        let mut at = chunk * CHUNK_PAGES;
        while let Some(run) = memory.present().next_run(at, end) {
            at = run.end().min(run.first().get() + PIECE_PAGES);
            let piece = PageRange::between(run.first().get(), at).expect("a run is not empty");
            content.resize(piece.bytes(), 0);
            memory.read(piece, &mut content)?;
            ram.write(piece, &content);
        }
    }
}
