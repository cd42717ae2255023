//! The proof that what was sent is what the guest left behind.

use crate::absent::find_untouched;
use crate::bitmap::PageBitmap;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::options::Verify;
use crate::page::{PAGE_BYTES, PageRange};
use crate::ram::FrozenRam;
use crate::source::sender::is_zero;
use crate::source::transfer::Transfer;

/// Pages read at a time: 256 KiB.
const CHUNK_PAGES: u64 = 64;

impl Transfer<'_> {
    /// Compares the source's memory, which stands still, with what the destination has received; the
    /// pages of `given_up` count as absent.
    ///
    /// # Errors
    /// If they differ: something wrote to the memory after it was sent.
    pub(super) fn check_frozen(
        &self,
        ram: &FrozenRam,
        given_up: &[PageRange],
        received: Digest,
    ) -> Result<()> {
        if self.options.verify == Verify::Off {
            return Ok(());
        }
        let frozen = digest_of(ram, given_up)?;
        if frozen == received {
            return Ok(());
        }
        Err(Error::Digest {
            source_digest: frozen,
            destination_digest: received,
        })
    }
}

/// The digest of all of a memory, as if the pages of `given_up` were absent.
fn digest_of(ram: &FrozenRam, given_up: &[PageRange]) -> Result<Digest> {
    let mut touched = PageBitmap::full(ram.pages());
    let mut digest = Digest::default();
    find_untouched(ram.mapping(), |range| {
        touched.remove_range(range);
        digest.add_absent(range);
        Ok(())
    })?;
    for page in given_up.iter().flat_map(|range| range.iter()) {
        if touched.remove(page) {
            digest.add(Digest::of_absent(page));
        }
    }
    let mut at = 0;
    while let Some(run) = touched.next_run(at, ram.pages()) {
        at = run.end().min(run.first().get() + CHUNK_PAGES);
        let chunk = PageRange::between(run.first().get(), at).expect("a run is not empty");
        let content = ram.content(chunk);
        let (pages, _) = content.as_chunks::<PAGE_BYTES>();
        for ((page, bytes), sent) in chunk.iter().zip(pages).zip(Digest::of_each(chunk, content)) {
            digest.add(if is_zero(bytes) {
                Digest::of_absent(page)
            } else {
                sent
            });
        }
    }
    Ok(digest)
}
