//! The file `snapshot` as bytes: a header and a table that are checked before anything is decoded,
//! then the sections, one after the other. Pure. All numbers are little-endian.
//!
//! | offset | bytes | field of the header |
//! |---|---|---|
//! | 0 | 8 | magic `SKIFFSNP` |
//! | 8 | 4 | architecture: the machine's number in ELF, 62 for x86-64 |
//! | 12 | 2 | major version: another one is another format |
//! | 14 | 2 | minor version: a later one may have sections that an earlier one does not know |
//! | 16 | 4 | number of sections, 1 to 64 |
//! | 20 | 4 | zero |
//! | 24 | 8 | length of the file in bytes |
//! | 32 | 8 | XXH3 of the bytes before and of the table; the identity of the snapshot |
//!
//! | offset | bytes | field of an entry of the table |
//! |---|---|---|
//! | 0 | 4 | kind |
//! | 4 | 2 | version of the section |
//! | 6 | 2 | 1 if who does not know the kind may skip the section, else 0 |
//! | 8 | 8 | length in bytes |
//! | 16 | 8 | XXH3 of the section |

use std::fmt;

use twox_hash::XxHash3_64;

use crate::page::to_u64;
use crate::snapshot::{Result, SnapshotError};

const MAGIC: &[u8; 8] = b"SKIFFSNP";

/// `EM_X86_64` of the ELF specification (System V ABI, AMD64 supplement).
pub(super) const X86_64: u32 = 62;

/// Changes when an earlier version must not even try.
pub(super) const MAJOR: u16 = 1;
/// Changes when a section is added.
pub(super) const MINOR: u16 = 1;

/// Most sections. Our choice: far more than there are kinds, and a table of a page.
pub(super) const MAX_SECTIONS: u32 = 64;

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 40;
/// Bytes of an entry of the table.
pub(super) const ENTRY_BYTES: usize = 24;
/// Where the checksum stands in the header.
const CHECKSUM_AT: usize = 32;

/// A part of a snapshot, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The header and the table of sections.
    Header,
    /// A section.
    Section(Kind),
    /// The file as a whole.
    File,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("its header"),
            Self::File => f.write_str("the file `snapshot`"),
            Self::Section(kind) => write!(f, "its section `{}`", kind.name()),
        }
    }
}

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What the VM needs of its host.
    Offer,
    /// The state of vCPUs and devices.
    State,
    /// Which file has the memory, and the digest of all of it.
    Memory,
    /// The pages that are in that file.
    Pages,
    /// The checksum of each chunk of the memory.
    Chunks,
    /// Of a difference: to which snapshot, and which pages are that one's.
    Base,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 6] = [
        Self::Offer,
        Self::State,
        Self::Memory,
        Self::Pages,
        Self::Chunks,
        Self::Base,
    ];

    /// The number of the kind, and the version of its sections that is written and read here.
    pub(super) const fn number_and_version(self) -> (u32, u16) {
        match self {
            Self::Offer => (1, 1),
            Self::State => (2, 1),
            Self::Memory => (3, 1),
            Self::Pages => (4, 1),
            Self::Chunks => (5, 1),
            Self::Base => (6, 1),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::State => "state",
            Self::Memory => "memory",
            Self::Pages => "pages",
            Self::Chunks => "chunks",
            Self::Base => "base",
        }
    }

    fn of(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.number_and_version().0 == number)
    }
}

/// What tells a snapshot from every other: the checksum of its header and table, in which the
/// checksums of all sections stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(pub(super) u64);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A header whose fields are in range. Its checksum is compared when the table is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    bytes: [u8; HEADER_BYTES],
    minor: u16,
    sections: usize,
    file_bytes: u64,
}

/// A section that is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// Where it begins in the file.
    pub(super) offset: u64,
    pub(super) bytes: u64,
    checksum: u64,
}

impl Header {
    /// Checks the first bytes of a file of `file_bytes` in all.
    pub(super) fn decode(bytes: &[u8], file_bytes: u64) -> Result<Self> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(SnapshotError::Truncated {
                part: Part::Header,
                found: to_u64(bytes.len()),
                expected: to_u64(HEADER_BYTES),
            });
        };
        if &bytes[..8] != MAGIC {
            return Err(SnapshotError::Magic);
        }
        let found = u32_at(bytes, 8);
        if found != X86_64 {
            return Err(SnapshotError::Architecture { found });
        }
        let (found_major, minor) = (u16_at(bytes, 12), u16_at(bytes, 14));
        if found_major != MAJOR {
            return Err(SnapshotError::Version {
                found_major,
                found_minor: minor,
            });
        }
        let found = u32_at(bytes, 16);
        if !(1..=MAX_SECTIONS).contains(&found) {
            return Err(SnapshotError::SectionCount { found });
        }
        if u32_at(bytes, 20) != 0 {
            return Err(SnapshotError::Malformed { part: Part::Header });
        }
        let expected = u64_at(bytes, 24);
        if file_bytes != expected {
            return Err(length_error(Part::File, file_bytes, expected));
        }
        Ok(Self {
            bytes: *bytes,
            minor,
            sections: usize::try_from(found).expect("64 is small"),
            file_bytes,
        })
    }

    /// Where the table ends in the file.
    pub(super) fn table_end(&self) -> u64 {
        to_u64(HEADER_BYTES + self.table_bytes())
    }

    /// Length of the table that follows.
    pub(super) fn table_bytes(&self) -> usize {
        self.sections * ENTRY_BYTES
    }

    /// Checks header and table together; gives the sections that are known, and the identity of the
    /// snapshot.
    pub(super) fn table(&self, table: &[u8]) -> Result<(Vec<Entry>, Identity)> {
        if table.len() != self.table_bytes() {
            let (found, expected) = (to_u64(table.len()), to_u64(self.table_bytes()));
            return Err(length_error(Part::Header, found, expected));
        }
        let expected = u64_at(&self.bytes, CHECKSUM_AT);
        let found = identity_of(&self.bytes, table);
        if found != expected {
            let part = Part::Header;
            return Err(SnapshotError::Checksum {
                part,
                found,
                expected,
            });
        }
        let mut entries = Vec::with_capacity(Kind::ALL.len());
        let mut offset = to_u64(HEADER_BYTES + table.len());
        for entry in table.chunks_exact(ENTRY_BYTES) {
            let (number, version, flags) = (u32_at(entry, 0), u16_at(entry, 4), u16_at(entry, 6));
            let (bytes, checksum) = (u64_at(entry, 8), u64_at(entry, 16));
            let end = offset.checked_add(bytes);
            let end = end.filter(|&end| end <= self.file_bytes && flags <= 1);
            let Some(end) = end else {
                return Err(SnapshotError::Malformed { part: Part::Header });
            };
            match Kind::of(number) {
                Some(kind) => entries.push(known(
                    Entry {
                        kind,
                        offset,
                        bytes,
                        checksum,
                    },
                    version,
                    &entries,
                )?),
                None if flags == 1 => {}
                None => {
                    return Err(SnapshotError::UnknownSection {
                        kind: number,
                        minor: self.minor,
                    });
                }
            }
            offset = end;
        }
        if offset != self.file_bytes {
            return Err(length_error(Part::File, self.file_bytes, offset));
        }
        Ok((entries, Identity(expected)))
    }
}

impl Entry {
    /// Compares what was read of the section with its checksum.
    pub(super) fn check(&self, section: &[u8]) -> Result<()> {
        let (found, expected) = (XxHash3_64::oneshot(section), self.checksum);
        if found == expected {
            return Ok(());
        }
        Err(SnapshotError::Checksum {
            part: Part::Section(self.kind),
            found,
            expected,
        })
    }
}

/// The entry, if it is the first of its kind and of the version that is read here.
fn known(entry: Entry, found: u16, before: &[Entry]) -> Result<Entry> {
    let part = Part::Section(entry.kind);
    let (_, ours) = entry.kind.number_and_version();
    if found != ours {
        return Err(SnapshotError::SectionVersion { part, found, ours });
    }
    if before.iter().any(|other| other.kind == entry.kind) {
        return Err(SnapshotError::SectionTwice { part });
    }
    Ok(entry)
}

/// The file that holds `sections`, and its identity.
pub(super) fn encode(sections: &[(Kind, Vec<u8>)]) -> (Vec<u8>, Identity) {
    let mut table = Vec::with_capacity(sections.len() * ENTRY_BYTES);
    for (kind, section) in sections {
        let (number, version) = kind.number_and_version();
        table.extend(number.to_le_bytes());
        table.extend(version.to_le_bytes());
        table.extend(0_u16.to_le_bytes());
        table.extend(to_u64(section.len()).to_le_bytes());
        table.extend(XxHash3_64::oneshot(section).to_le_bytes());
    }
    let sections_bytes: usize = sections.iter().map(|(_, section)| section.len()).sum();
    let file_bytes = HEADER_BYTES + table.len() + sections_bytes;
    let count = u32::try_from(sections.len()).expect("there are few kinds");
    let mut file = Vec::with_capacity(file_bytes);
    file.extend(MAGIC);
    file.extend(X86_64.to_le_bytes());
    file.extend(MAJOR.to_le_bytes());
    file.extend(MINOR.to_le_bytes());
    file.extend(count.to_le_bytes());
    file.extend([0; 4]);
    file.extend(to_u64(file_bytes).to_le_bytes());
    file.extend([0; 8]);
    file.extend(table);
    let identity = seal(&mut file);
    for (_, section) in sections {
        file.extend(section);
    }
    (file, identity)
}

/// Puts the checksum of a header and its table into the header.
pub(super) fn seal(header_and_table: &mut [u8]) -> Identity {
    let (header, table) = header_and_table.split_at_mut(HEADER_BYTES);
    let identity = identity_of(header, table);
    header[CHECKSUM_AT..].copy_from_slice(&identity.to_le_bytes());
    Identity(identity)
}

fn identity_of(header: &[u8], table: &[u8]) -> u64 {
    XxHash3_64::oneshot(&[&header[..CHECKSUM_AT], table].concat())
}

/// A part is shorter or longer than it should be.
pub(super) fn length_error(part: Part, found: u64, expected: u64) -> SnapshotError {
    if found < expected {
        SnapshotError::Truncated {
            part,
            found,
            expected,
        }
    } else {
        SnapshotError::Length {
            part,
            found,
            expected,
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|n| bytes[at + n]))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|n| bytes[at + n]))
}

#[cfg(test)]
mod tests;
