//! Doors for the fuzz targets of what a snapshot's files say.

use twox_hash::XxHash3_64;

use crate::bitmap::PageBitmap;
use crate::digest::Digest;
use crate::fuzzing::Seed;
use crate::layout::{MemoryLayout, MemoryRegion};
use crate::offer::{Offer, PeerText};
use crate::page::{PageRange, Pfn, to_u64, to_usize};
use crate::snapshot::base::BasePages;
use crate::snapshot::contents::{Contents, MemoryName, chunks_of};
use crate::snapshot::format::{ENTRY_BYTES, HEADER_BYTES, Identity, seal, u64_at};
use crate::snapshot::reader::decode;
use crate::snapshot::working_set::WorkingSet;

/// Pages of the memory that records are about.
const PAGES: u64 = 200;
/// Of which snapshot the records are.
const IDENTITY: Identity = Identity(0x1122_3344_5566_7788);

/// Decodes the file `snapshot`, once as it is and once with the checksums and the length that it would
/// have if its writer had meant it so.
pub fn decode_snapshot(data: &[u8]) {
    let mut sealed = data.to_vec();
    reseal(&mut sealed);
    for file in [data, &sealed] {
        let read = |offset, bytes| {
            let offset = to_usize(offset);
            Ok(file[offset..offset + bytes].to_vec())
        };
        match decode(to_u64(file.len()), read) {
            Ok((contents, _)) => check(&contents),
            Err(error) => {
                drop(error.to_string());
                drop(error.remedy());
            }
        }
    }
}

fn check(contents: &Contents) {
    let (file, identity) = contents.encode().expect("what was decoded encodes");
    let read = |offset, bytes| Ok(file[to_usize(offset)..to_usize(offset) + bytes].to_vec());
    let (again, same) = decode(to_u64(file.len()), read).expect("what was encoded decodes");
    assert_eq!((&again, same), (contents, identity));
    assert_eq!(contents.present.pages(), contents.offer.memory.pages());
    if let Some(base) = &contents.base {
        let mut twice = base.pages.clone();
        twice.retain_all(&contents.present);
        assert_eq!(
            (twice.count(), twice.pages()),
            (0, contents.present.pages())
        );
    }
    let chunks = chunks_of(contents.present.pages());
    assert_eq!(to_u64(contents.chunks.len()), chunks);
}

/// Corrects length and checksums as far as the table makes sense.
fn reseal(file: &mut [u8]) {
    let Some(count) = file.get(16).map(|count| usize::from(*count)) else {
        return;
    };
    let table_end = HEADER_BYTES + count * ENTRY_BYTES;
    if file.len() < table_end {
        return;
    }
    let mut offset = table_end;
    for entry in 0..count {
        let at = HEADER_BYTES + entry * ENTRY_BYTES;
        let length = u64_at(file, at + 8);
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| offset.checked_add(length))
            .filter(|end| *end <= file.len());
        let Some(end) = end else { return };
        let checksum = XxHash3_64::oneshot(&file[offset..end]);
        file[at + 16..at + 24].copy_from_slice(&checksum.to_le_bytes());
        offset = end;
    }
    let length = to_u64(file.len());
    file[24..32].copy_from_slice(&length.to_le_bytes());
    seal(&mut file[..table_end]);
}

/// Decodes the record of a working set, once as it is and once with the checksum that it should have.
pub fn decode_working_set(data: &[u8]) {
    let mut sealed = data.to_vec();
    WorkingSet::reseal(&mut sealed, IDENTITY);
    for record in [data, &sealed] {
        match WorkingSet::decode(record, IDENTITY, PAGES) {
            Ok(set) => assert_eq!(set.encode(IDENTITY), record),
            Err(error) => drop(error.to_string()),
        }
    }
}

/// What to begin with.
pub(crate) fn seeds() -> Vec<Seed> {
    let contents = contents();
    let (file, _) = contents.encode().expect("a small snapshot encodes");
    let mut set = WorkingSet::empty(PAGES);
    set.learn(&contents.present);
    let record = set.encode(IDENTITY);
    let seed = |target, name: &str, bytes: &[u8]| Seed {
        target,
        name: name.to_owned(),
        bytes: bytes.to_vec(),
    };
    let difference = |pages: std::ops::Range<u64>| {
        let mut base = BasePages {
            identity: IDENTITY,
            pages: PageBitmap::empty(PAGES),
        };
        let range = PageRange::between(pages.start, pages.end).expect("some pages");
        base.pages.insert_range(range);
        let base = Some(base);
        let contents = Contents {
            base,
            ..contents.clone()
        };
        contents.encode().expect("a small snapshot encodes").0
    };
    let (difference, twice) = (difference(80..PAGES), difference(60..90));
    let mut many = file.clone();
    many[16] = 64;
    vec![
        seed("snapshot", "whole", &file),
        seed("snapshot", "cut", &file[..file.len() - 1]),
        seed("snapshot", "header-only", &file[..HEADER_BYTES]),
        seed("snapshot", "many-sections", &many),
        seed("snapshot", "difference", &difference),
        seed(
            "snapshot",
            "difference-cut",
            &difference[..difference.len() - 1],
        ),
        seed("snapshot", "difference-twice", &twice),
        seed("working-set", "whole", &record),
        seed("working-set", "cut", &record[..record.len() - 1]),
        seed("working-set", "of-another", &set.encode(Identity(7))),
    ]
}

fn contents() -> Contents {
    let regions = vec![MemoryRegion {
        first: Pfn::new(0),
        pages: PAGES,
    }];
    let mut present = PageBitmap::empty(PAGES);
    present.insert_range(PageRange::between(3, 70).expect("some pages"));
    Contents {
        offer: Offer {
            name: PeerText::from("vm"),
            memory: MemoryLayout::new(regions).expect("a small layout"),
            vcpus: 1,
            machine: vec![1, 2, 3],
        },
        state: vec![4; 9],
        memory: MemoryName([5; 8]),
        digest: Digest::from_bits(6),
        present,
        chunks: vec![Digest::from_bits(7)],
        base: None,
    }
}
