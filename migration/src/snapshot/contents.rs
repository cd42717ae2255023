//! What a snapshot says of its VM, and the sections it says it in. Pure.

use serde::{Deserialize, Serialize};

use crate::bitmap::PageBitmap;
use crate::digest::Digest;
use crate::offer::Offer;
use crate::page::to_u64;
use crate::snapshot::base::BasePages;
use crate::snapshot::format::{self, Entry, Identity, Kind, Part};
use crate::snapshot::{CHUNK_PAGES, Result, SnapshotError};
use crate::wire::MAX_STATE_BYTES;

/// Most bytes of an offer. Our choice: as in a migration, 1 MiB of the machine's own demands and
/// room for the rest.
const MAX_OFFER_BYTES: u64 = (1 << 20) + (64 << 10);
/// Most bytes of the section that names the memory file: it has a fixed form.
const MAX_MEMORY_BYTES: u64 = 64;

/// The name of a memory file is this and 16 hexadecimal digits.
pub(super) const MEMORY_PREFIX: &str = "memory-";

/// Everything of a snapshot but the pages themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    /// What the VM needs of its host.
    pub(super) offer: Offer,
    /// The state of vCPUs and devices.
    pub(super) state: Vec<u8>,
    /// Which file has its memory.
    pub(super) memory: MemoryName,
    /// The digest of all of its memory.
    pub(super) digest: Digest,
    /// The pages in the memory file. All others are zero, or the base's.
    pub(super) present: PageBitmap,
    /// Of each chunk the digest of its pages that are not zero, wherever they are.
    pub(super) chunks: Vec<Digest>,
    /// Of a difference: what it is one to.
    pub(super) base: Option<BasePages>,
}

/// The random part of the name of a memory file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MemoryName(pub(super) [u8; 8]);

impl MemoryName {
    /// The name of the file.
    pub(super) fn file(self) -> String {
        format!("{MEMORY_PREFIX}{:016x}", u64::from_be_bytes(self.0))
    }
}

/// The section `memory`.
#[derive(Serialize, Deserialize)]
struct Memory {
    name: MemoryName,
    chunk_pages: u64,
    digest: u64,
}

/// How many chunks a memory has.
pub(super) fn chunks_of(pages: u64) -> u64 {
    pages.div_ceil(CHUNK_PAGES)
}

impl Contents {
    /// The bytes of the file `snapshot`.
    ///
    /// # Errors
    /// If the offer or the state is larger than what is read back.
    pub(super) fn encode(&self) -> Result<(Vec<u8>, Identity)> {
        let Self {
            offer,
            state,
            memory,
            digest,
            present,
            chunks,
            base,
        } = self;
        let encoded = |kind, bytes: Result<Vec<u8>, postcard::Error>| match bytes {
            Ok(bytes) => Ok((kind, bytes)),
            Err(source) => Err(SnapshotError::Decode {
                part: Part::Section(kind),
                source,
            }),
        };
        let memory = Memory {
            name: *memory,
            chunk_pages: CHUNK_PAGES,
            digest: digest.to_bits(),
        };
        let chunks = chunks
            .iter()
            .flat_map(|chunk| chunk.to_bits().to_le_bytes());
        let mut sections = vec![
            encoded(Kind::Offer, postcard::to_stdvec(offer))?,
            (Kind::State, state.clone()),
            encoded(Kind::Memory, postcard::to_stdvec(&memory))?,
            (Kind::Pages, present.to_bytes()),
            (Kind::Chunks, chunks.collect()),
        ];
        sections.extend(base.as_ref().map(|base| (Kind::Base, base.to_bytes())));
        for (kind, section) in &sections[..2] {
            check_size(*kind, to_u64(section.len()), None)?;
        }
        Ok(format::encode(&sections))
    }
}

impl Contents {
    /// Makes sense of the sections in `entries`; `read` reads one, whose size is all right by then,
    /// and checks that it is undamaged.
    ///
    /// # Errors
    /// If a section is missing, is too large, cannot be read or does not fit the others.
    pub(super) fn read(
        entries: &[Entry],
        mut read: impl FnMut(&Entry) -> Result<Vec<u8>>,
    ) -> Result<Self> {
        let mut section = |kind: Kind, pages: Option<u64>| {
            let entry = entries.iter().find(|entry| entry.kind == kind);
            let part = Part::Section(kind);
            let entry = entry.ok_or(SnapshotError::SectionMissing { part })?;
            check_size(kind, entry.bytes, pages)?;
            read(entry)
        };
        let offer: Offer = decode(Kind::Offer, &section(Kind::Offer, None)?)?;
        let Memory {
            name,
            chunk_pages,
            digest,
        } = decode(Kind::Memory, &section(Kind::Memory, None)?)?;
        if chunk_pages != CHUNK_PAGES {
            return Err(malformed(Kind::Memory));
        }
        let pages = offer.memory.pages();
        let present = section(Kind::Pages, Some(pages))?;
        let present =
            PageBitmap::from_bytes(&present, pages).ok_or_else(|| malformed(Kind::Pages))?;
        let chunks = section(Kind::Chunks, Some(pages))?;
        let (chunks, _) = chunks.as_chunks();
        let chunks = chunks
            .iter()
            .map(|bits| Digest::from_bits(u64::from_le_bytes(*bits)));
        let is_difference = entries.iter().any(|entry| entry.kind == Kind::Base);
        let base = if is_difference {
            let base = section(Kind::Base, Some(pages))?;
            Some(BasePages::read(&base, &present)?)
        } else {
            None
        };
        Ok(Self {
            state: section(Kind::State, None)?,
            offer,
            memory: name,
            digest: Digest::from_bits(digest),
            present,
            chunks: chunks.collect(),
            base,
        })
    }
}

/// The value that is all of a section.
fn decode<T: for<'a> Deserialize<'a>>(kind: Kind, section: &[u8]) -> Result<T> {
    match postcard::take_from_bytes(section) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(malformed(kind)),
        Err(source) => Err(SnapshotError::Decode {
            part: Part::Section(kind),
            source,
        }),
    }
}

pub(super) fn malformed(kind: Kind) -> SnapshotError {
    SnapshotError::Malformed {
        part: Part::Section(kind),
    }
}

/// Checks the size of a section: it has the one size that fits a memory of `pages`, if that matters
/// for its kind, or is at most as large as it may be.
fn check_size(kind: Kind, bytes: u64, pages: Option<u64>) -> Result<()> {
    let part = Part::Section(kind);
    let max_bytes = match kind {
        Kind::Offer => MAX_OFFER_BYTES,
        Kind::State => to_u64(MAX_STATE_BYTES),
        Kind::Memory => MAX_MEMORY_BYTES,
        Kind::Pages | Kind::Chunks | Kind::Base => u64::MAX,
    };
    if bytes > max_bytes {
        return Err(SnapshotError::TooLarge {
            part,
            bytes,
            max_bytes,
        });
    }
    let expected = match (kind, pages) {
        (Kind::Pages, Some(pages)) => pages.div_ceil(64) * 8,
        (Kind::Chunks, Some(pages)) => chunks_of(pages) * 8,
        (Kind::Base, Some(pages)) => BasePages::section_bytes(pages),
        _ => bytes,
    };
    if bytes == expected {
        Ok(())
    } else {
        Err(format::length_error(part, bytes, expected))
    }
}
